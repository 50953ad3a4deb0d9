"""Neither a check, nor a page, nor the log quotes the address of a server, because it may hold a password."""

import re

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from app_metrics import metric
from app_metrics.aggregation.intake import gather
from app_metrics.core.plain_text import brief
from app_metrics.dashboard.health import examine
from app_metrics.models.pending import pending_batches
from app_metrics.transport.loading import get_backend
from app_metrics.transport.retrying import RetryingBackend

PARTS = ("hunter2", "word3", "4711")
# Ids of batches and addresses in memory have any digits.
DIGITS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|0x[0-9a-f]+")
# A password with a character that must be encoded, which cuts the address short; and other mistakes.
ADDRESSES = [
    "redis://:hunter2/word3@127.0.0.1:1/0",
    "redis://me:hunter2?word3@127.0.0.1:1/0",
    "redis://me:hunter2#word3@127.0.0.1:1/0",
    "redis://hunter2:4711/word3@127.0.0.1:1/0",
    "redis://hunter2/word3@127.0.0.1:1/0",
    "redis://me:hunter2@word3@127.0.0.1:hunter2/0",
    "redis://me:hunter2@[word3/0",
    "rediss://me:hunter2@127.0.0.1:99999/word3",
    "nosuch://me:word3@127.0.0.1",
    "redis://:hunter2.word3@my.host",
]
# Before the "/" a client of the project sees the host, which the tracebacks of its errors name.
HOSTS = ADDRESSES[3:5]
PARSED = {"Redis", "client", "statsd", "Celery"}  # all other settings are only quoted, or not


def client_of(address):
    def client():
        import redis

        return redis.Redis.from_url(address)

    return client


def celery_of(address, monkeypatch):
    celery, state = pytest.importorskip("celery"), pytest.importorskip("celery._state")
    monkeypatch.setattr(state, "default_app", celery.Celery(broker=address, set_as_current=False))
    monkeypatch.setattr(state._tls, "current_app", None)
    return {"BACKEND": "app_metrics.backends.celery"}


SETTINGS = {
    "Redis": lambda address: {"BACKEND": "app_metrics.backends.redis", "REDIS_URL": address},
    "client": lambda address: {"BACKEND": "app_metrics.backends.redis", "REDIS_CLIENT": client_of(address)},
    "path of a client": lambda address: {"BACKEND": "app_metrics.backends.redis", "REDIS_CLIENT": address},
    "statsd": lambda address: {"BACKEND": "app_metrics.backends.statsd", "STATSD_URL": address},
    "backend": lambda address: {"BACKEND": address},
    "backend as a mapping": lambda address: {"BACKEND": {"LOCATION": address}},
    "composite": lambda address: {"BACKEND": "app_metrics.backends.composite", "COMPOSITE_BACKENDS": [address]},
    "no list": lambda address: {"BACKEND": "app_metrics.backends.composite", "COMPOSITE_BACKENDS": address},
    "site": lambda address: {"BASE_URL": f"{address}?x"},
    "time zone": lambda address: {"TIME_ZONE": address},
    "spool": lambda address: {"SPOOL_DIR": address},
}


def said():
    """Return what the checks and the health page say, and what the destination does."""
    lines = [f"{message} {message.hint}" for message in run_checks(tags=["app_metrics"])]
    lines.append(repr(examine()))
    try:
        backend = get_backend()
    except ImproperlyConfigured as error:
        return [*lines, str(error)]
    lines += [str(message) for message in backend.check_destination()]
    pending_batches()
    return [*lines, *gather()]


def parts_in(text):
    rest = DIGITS.sub("", text)
    return [part for part in PARTS if part in rest]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (name, address)
        for name in [*SETTINGS, "Celery"]
        for address in (ADDRESSES if name in PARSED else ADDRESSES[:1] + ADDRESSES[6:8])
    ],
)
def test_no_message_quotes_an_address(name, address, database, settings, monkeypatch, caplog):
    made = SETTINGS[name](address) if name in SETTINGS else celery_of(address, monkeypatch)
    for setting, value in made.items():
        setattr(settings, f"APP_METRICS_{setting}", value)
    lines = said()
    metric("x")
    text = "\n".join([*lines, *(caplog.messages if address in HOSTS else [caplog.text])])
    assert parts_in(text) == []


def test_a_database_that_is_named_by_an_address_is_not_quoted(settings):
    settings.APP_METRICS_DATABASE = "postgres://me:hunter2@db/word3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RetryingBackend, "check", list)
        text = "\n".join(f"{message} {message.hint}" for message in run_checks(tags=["app_metrics"]))
    assert "APP_METRICS_DATABASE names" in text
    assert parts_in(text) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://me:hunter2@host/0", "'redis://…"),
        (ValueError("Port could not be cast to integer value as 'hunter2'"), "cast to integer value as …"),
        ("plain text", "'plain text'"),
    ],
)
def test_a_brief_text_has_no_address(value, shown):
    assert shown in brief(value)
    assert "hunter2" not in brief(value)
