"""No backend, whether it works or fails, writes, sends or logs a value that was given to `unique()`."""

import base64
import json
import logging
import socket

import pytest
from celery import Celery
from django.apps import apps
from django.db import connection

from app_metrics import collect, flush, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.backends import locmem
from app_metrics.core.dropped import take_entries
from app_metrics.core.hashing import hash_of
from app_metrics.models import Item, QuarantinedItem
from app_metrics.storage import journal
from app_metrics.transport.base import MetricsBackend
from tests.support.receiving import StatsdServer, telemetry

from .conftest import REDIS

BACKENDS = "app_metrics.backends."
NAME, NUMBER = "zuleika.dobson@judas.example", 918_273_645_546_372
NOWHERE = "127.0.0.1:9"


def forms(plain):
    """Return some bytes as they are, in hexadecimal digits, and in Base64 at each of its three places."""
    encoded = [base64.b64encode(bytes(place) + plain)[2 * place : -4] for place in range(3)]
    return [plain, plain.hex().encode(), *encoded]


WRITTEN = [NAME.encode(), str(NUMBER).encode(), NUMBER.to_bytes(8), NUMBER.to_bytes(8, "little")]
TRACES = [form for plain in WRITTEN for form in forms(plain)]


def traces_in(*places):
    """Return the forms of the values that are in some bytes or texts."""
    everything = b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in places)
    return [form for form in TRACES if form in everything]


class Talkative(MetricsBackend):
    """Fails, and has the whole batch in its error, as a driver has the parameters of a statement."""

    feeds_totals = True

    def write(self, batch):
        raise OSError(f"cannot write {batch!r}, which is {batch.summaries}")


def record():
    with collect():
        unique("users", NAME, labels={"plan": "pro"})
        unique("users", NUMBER)
    unique("users", NUMBER)
    unique("users", str(NUMBER), on_commit=True)


@pytest.fixture
def sent(monkeypatch):
    """All that Python's sockets send; the drivers of databases have their own."""
    found = []
    for name in ("send", "sendall", "sendto"):
        original = getattr(socket.socket, name)

        def send(self, data, *rest, original=original):
            found.append(bytes(data))
            return original(self, data, *rest)

        monkeypatch.setattr(socket.socket, name, send)
    return found


@pytest.fixture
def logged(caplog, capsys, monkeypatch):
    """A function that returns all that was logged and printed."""
    caplog.set_level(logging.DEBUG)
    # The handler is that of all tests.
    monkeypatch.setattr(caplog.handler, "formatter", logging.Formatter("%(message)s %(args)s %(exc_text)s"))
    return lambda: [caplog.text, *(record.getMessage() for record in caplog.records), *capsys.readouterr()]


def rows():
    """Return the values of all rows of our tables."""
    found = []
    for model in apps.get_app_config("app_metrics").get_models():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            found += [value for row in cursor.fetchall() for value in row]
    return found


def files(directory):
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("plain", WRITTEN)
def test_the_search_finds_a_value_in_every_form(plain):
    around = [base64.b64encode(b"abc"[:place] + plain + b"de") for place in range(3)]
    for place in (plain, b"user %b!" % plain, plain.hex(), *around, json.dumps([each.decode() for each in around])):
        assert traces_in("something", place, "else"), place


@pytest.mark.django_db(transaction=True)
def test_the_database_has_only_hashes(logged):
    record()
    before = rows()
    assert aggregate().failures == []
    assert traces_in(*before, *rows(), *logged()) == []


@pytest.mark.django_db(transaction=True)
def test_a_refused_row_and_its_log_have_only_hashes(logged):
    record()
    Item.objects.update(count=-1)
    aggregate()
    assert QuarantinedItem.objects.count() == 4
    assert traces_in(*rows(), *logged()) == []


@pytest.mark.django_db(transaction=True)
def test_the_journal_has_only_hashes(logged, monkeypatch):
    monkeypatch.setattr(journal, "in_tests", lambda: False)
    record()
    found = files(journal.journal_of(connection).directory)
    assert b"users" in b"".join(found)
    assert traces_in(*found, *logged()) == []


@pytest.mark.django_db(transaction=True)
def test_the_spool_and_the_errors_that_fill_it_have_only_hashes(logged, settings, tmp_path):
    settings.APP_METRICS_BACKEND, settings.APP_METRICS_SPOOL_DIR = f"{__name__}.Talkative", tmp_path
    record()
    found, texts = files(tmp_path), logged()
    assert b"users" in b"".join(found)
    assert "cannot write" in "".join(texts)
    assert traces_in(*found, *texts) == []


@pytest.mark.django_db(transaction=True)
def test_redis_is_sent_only_hashes(in_redis, sent, logged):
    record()
    assert aggregate().failures == []
    assert b"users unique" in b"".join(sent)
    assert traces_in(*sent, *rows(), *logged()) == []


@pytest.fixture
def queue(monkeypatch):
    """The queue of an app with a broker in memory."""
    app = Celery("tests.backends", broker="memory://", set_as_current=False, fixups=[])
    app.conf.task_default_queue = "raw-values"
    monkeypatch.setattr("celery._state.default_app", app)
    monkeypatch.setattr("celery._state._tls.current_app", None)
    with app.connection_for_read() as connected, connected.SimpleQueue("raw-values") as queue:
        yield queue


@pytest.mark.django_db(transaction=True)
def test_the_messages_of_celery_have_only_hashes(queue, settings, logged):
    settings.APP_METRICS_BACKEND = f"{BACKENDS}celery"
    record()
    messages = [queue.get_nowait() for _ in range(queue.qsize())]
    texts = [json.dumps([message.headers, message.properties], default=str) for message in messages]
    bodies = [message.body for message in messages]
    assert len(messages) == 3
    assert traces_in(*bodies, *texts, *rows(), *logged()) == []


def test_statsd_is_sent_only_hashes(sent, settings, logged):
    server = StatsdServer()
    settings.APP_METRICS_BACKEND, settings.APP_METRICS_STATSD_URL = f"{BACKENDS}statsd", server.url
    record()
    assert f"users:{hash_of(NUMBER):016x}|s" in server.lines()
    server.socket.close()
    record()
    assert traces_in(*sent, *logged()) == []


def test_opentelemetry_is_sent_nothing(sent, settings, logged):
    settings.APP_METRICS_BACKEND = f"{BACKENDS}otel"
    telemetry()
    record()
    telemetry().exported()
    assert traces_in(*sent, *logged()) == []


def test_what_is_printed_and_kept_in_memory_has_only_hashes(settings, logged):
    locmem.outbox.clear()
    settings.APP_METRICS_BACKEND = f"{BACKENDS}composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = [f"{BACKENDS}{name}" for name in ("locmem", "console", "dummy")]
    record()
    kept = [summary.uniques.encode() for batch in locmem.outbox for summary in batch.summaries.values()]
    printed = logged()
    assert "unique users" in "".join(printed)
    assert len(kept) == 4
    assert traces_in(*kept, *map(repr, locmem.outbox), *printed) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "options",
    [
        {"BACKEND": REDIS, "REDIS_URL": f"redis://{NOWHERE}/0"},
        {"BACKEND": f"{BACKENDS}statsd", "STATSD_URL": "udp://nowhere.invalid:9"},
        {"BACKEND": f"{BACKENDS}no-such-backend"},
        {"BACKEND": f"{__name__}.Talkative", "RETRY_LIMIT": 1},
    ],
    ids=lambda options: options["BACKEND"].rpartition(".")[2],
)
def test_a_failing_backend_logs_only_hashes(options, settings, logged):
    for name, value in options.items():
        setattr(settings, f"APP_METRICS_{name}", value)
    for _ in range(5):
        record()
    flush()
    texts = [*logged(), *map(repr, take_entries())]
    assert "metric" in "".join(texts)
    assert traces_in(*texts) == []


@pytest.mark.parametrize(
    ("slug", "options"),
    [
        ("no slug!", {}),
        ("users", {"labels": {"plan": 1.5}}),
        ("users", {"labels": "pro"}),
        ("users", {"at": "yesterday"}),
        ("users", {"on_commit": True, "using": "nowhere"}),
    ],
)
@pytest.mark.parametrize("value", [NAME, NUMBER, NAME.encode(), float(NUMBER), NUMBER * 10**200])
def test_a_dropped_event_is_logged_without_its_value(slug, options, value, settings, logged):
    settings.APP_METRICS_STRICT = False
    locmem.outbox.clear()
    settings.APP_METRICS_BACKEND = f"{BACKENDS}locmem"
    unique(slug, value, **options)
    texts = [*logged(), *map(repr, take_entries())]
    assert "Not counted" in "".join(texts)
    assert traces_in(*texts) == []
