"""Define metrics in code: their slugs, labels, names and units in one place, and a call that records."""

from .kinds import Counter, Gauge, Timer

__all__ = ["Counter", "Gauge", "Timer"]
