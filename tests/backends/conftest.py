"""Fixtures for the backends that need a server of their own."""

from types import SimpleNamespace

import pytest

from app_metrics.transport.loading import load_backend
from tests.support import redis_server

REDIS = "app_metrics.backends.redis"


@pytest.fixture
def in_redis(settings, monkeypatch):
    """A site that records into its own keys in the test run's Redis, and a client to inspect them.

    The timeout suits slow machines; tests of the timeout set their own.
    """
    redis = pytest.importorskip("redis")
    settings.APP_METRICS_BACKEND = REDIS
    settings.APP_METRICS_REDIS_URL = redis_server.url()
    settings.APP_METRICS_REDIS_PREFIX = prefix = redis_server.new_prefix()
    settings.APP_METRICS_TIMEOUT = 60
    monkeypatch.setattr(f"{REDIS}.backend.READING", 60)
    monkeypatch.setattr(f"{REDIS}.client.PATIENCE", 60)
    client = redis.Redis.from_url(settings.APP_METRICS_REDIS_URL, decode_responses=True)
    yield SimpleNamespace(prefix=prefix, client=client, names=lambda: sorted(client.scan_iter(f"{prefix}:*")))
    for key in client.scan_iter(f"{prefix}:*"):
        client.delete(key)
    client.close()


@pytest.fixture
def backend(in_redis):
    return load_backend(REDIS)
