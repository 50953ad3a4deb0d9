"""Store or send batches: db, redis, celery, statsd, otel, composite, console, dummy, locmem."""

from ..transport.base import MetricsBackend
from ..transport.loading import get_backend, load_backend

__all__ = ["MetricsBackend", "get_backend", "load_backend"]
