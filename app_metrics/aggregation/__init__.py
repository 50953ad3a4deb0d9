"""Takes items into totals, each exactly once, and lets old totals go."""

from .run import Aggregation, Backlog, aggregate, backlog

__all__ = ["Aggregation", "Backlog", "aggregate", "backlog"]
