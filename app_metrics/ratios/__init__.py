"""Ratios of two metrics, as `APP_METRICS_RATIOS` declares them, computed when they are read."""

from .declared import Ratio, UnknownRatio, get_ratio
from .quotients import Quotient

__all__ = ["Quotient", "Ratio", "UnknownRatio", "get_ratio"]
