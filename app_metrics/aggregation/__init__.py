"""Add items to totals, each exactly once, and delete old totals."""

from .backlog import Backlog, backlog
from .run import Aggregation, aggregate

__all__ = ["Aggregation", "Backlog", "aggregate", "backlog"]
