"""Adds items to totals, each exactly once, and deletes old totals."""

from .backlog import Backlog, backlog
from .run import Aggregation, aggregate

__all__ = ["Aggregation", "Backlog", "aggregate", "backlog"]
