"""Unique counts by every way to the totals; test_redis_uniques has more tests of Redis."""

import json

import pytest
from celery import Celery
from django.db import connection

from app_metrics import flush, tasks
from app_metrics.backends import locmem
from app_metrics.models import Item
from app_metrics.storage import journal
from app_metrics.storage.journal import journal_of
from app_metrics.transport import buffer as buffering
from app_metrics.transport import spool
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.buffer import Buffer
from tests.support.contract import UniqueContract

from .conftest import REDIS

DATABASE = "app_metrics.backends.db"
QUEUE = "metrics"


class Down(MetricsBackend):
    feeds_totals = True

    def write(self, batch):
        raise OSError("down")


@pytest.mark.every_database
class TestDatabase(UniqueContract):
    path = DATABASE


@pytest.mark.only_sqlite
class TestJournal(UniqueContract):
    path = DATABASE

    @pytest.fixture
    def database(self, transactional_database, monkeypatch):
        monkeypatch.setattr(journal, "in_tests", lambda: False)

    def bring(self):
        assert len(list(journal_of(connection).pending())) == 1
        assert not Item.objects.exists()


class TestRedis(UniqueContract):
    path = REDIS

    @pytest.fixture(autouse=True)
    def server(self, in_redis):
        """Record into Redis."""

    def bring(self):
        assert not Item.objects.exists()


class TestCelery(UniqueContract):
    path = "app_metrics.backends.celery"

    @pytest.fixture(autouse=True)
    def app(self, monkeypatch):
        app = Celery("tests.backends", broker="memory://", set_as_current=False, fixups=[])
        app.conf.task_default_queue = QUEUE
        monkeypatch.setattr("celery._state.default_app", app)
        monkeypatch.setattr("celery._state._tls.current_app", None)
        self.app = app

    def bring(self):
        """Let a worker do its work, and deliver the last message again."""
        assert not Item.objects.exists()
        with self.app.connection_for_read() as connected, connected.SimpleQueue(QUEUE) as queue:
            bodies = [json.loads(queue.get_nowait().body) for _ in range(queue.qsize())]
        for arguments, _, _ in [*bodies, bodies[-1]]:
            tasks.write_batch(*arguments)


class TestComposite(UniqueContract):
    path = "app_metrics.backends.composite"

    @pytest.fixture(autouse=True)
    def destinations(self, settings):
        settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.locmem", DATABASE]
        locmem.outbox.clear()


class TestBuffer(UniqueContract):
    path = DATABASE

    @pytest.fixture(autouse=True)
    def buffered(self, settings, monkeypatch):
        settings.APP_METRICS_FLUSH_INTERVAL = 600
        buffer = Buffer()
        monkeypatch.setattr(buffering, "_buffer", buffer)
        monkeypatch.setattr(buffering, "add", buffer.add)

    @pytest.fixture
    def database(self, transactional_database):
        """With commits, because the buffer's thread writes."""

    def bring(self):
        assert not Item.objects.exists()
        flush()


class TestSpool(UniqueContract):
    path = f"{__name__}.Down"

    @pytest.fixture(autouse=True)
    def directory(self, settings, tmp_path):
        settings.APP_METRICS_SPOOL_DIR = tmp_path

    def bring(self):
        assert len(spool.segments()) == 1
