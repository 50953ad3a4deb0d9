"""Count what happens in a Django project."""

from .contrib.track import track
from .recording.collecting import collect
from .recording.metrics import Timer, gauge, metric, timing
from .transport.buffer import flush

__all__ = ["Timer", "collect", "flush", "gauge", "metric", "timing", "track"]
