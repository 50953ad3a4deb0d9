"""Count what happens in a Django project."""

from .buffer import flush
from .collector import collect
from .contrib.track import track
from .recording import Timer, gauge, metric, timing

__all__ = ["Timer", "collect", "flush", "gauge", "metric", "timing", "track"]
