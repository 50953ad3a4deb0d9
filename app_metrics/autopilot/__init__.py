"""Aggregates, sends, watches and prunes without cron: from a thread of one web process, after its responses."""

from .pilot import connect

__all__ = ["connect"]
