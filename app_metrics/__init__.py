"""Count what happens in a Django project."""

from .contrib.track import track
from .recording.collecting import collect
from .recording.metrics import Timer, distribution, gauge, metric, timing, unique
from .transport.buffer import flush

__all__ = ["Timer", "collect", "distribution", "flush", "gauge", "metric", "timing", "track", "unique"]
