"""Takes items into totals, each exactly once, and lets old totals go."""

from .backlog import Backlog, backlog
from .run import Aggregation, aggregate

__all__ = ["Aggregation", "Backlog", "aggregate", "backlog"]
