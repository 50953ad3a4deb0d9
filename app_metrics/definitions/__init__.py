"""Define metrics in code: their slugs, labels, names and units in one place, and a call that records."""

from .kinds import Counter, Distribution, Gauge, Timer, Unique

__all__ = ["Counter", "Distribution", "Gauge", "Timer", "Unique"]
