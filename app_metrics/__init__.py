"""Count what happens in a Django project."""

from .collector import collect
from .contrib.track import track
from .recording import Timer, gauge, metric, timing

__all__ = ["Timer", "collect", "gauge", "metric", "timing", "track"]
