"""Aggregates, sends, watches and prunes without cron: from a thread of one web process, after its responses."""

from .jobs import JOBS, Job
from .lease import note_scheduled
from .pilot import connect, hindrance

__all__ = ["JOBS", "Job", "connect", "hindrance", "note_scheduled"]
