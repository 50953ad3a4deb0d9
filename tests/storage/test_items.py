"""What a database cannot store is set aside alone: everything else of its batch counts."""

import contextlib
import json
import os
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.db import DataError, connections, transaction

from app_metrics import collect, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.checks import check_database
from app_metrics.models import Item, LedgerRow, Metric, QuarantinedItem, Total
from app_metrics.storage.dialects.vendors import dialect_for
from app_metrics.storage.ledger import write_once
from app_metrics.testing.recorded import capture_metrics
from app_metrics.transport.loading import get_backend
from tests.support.example_site import coordinates
from tests.support.paths import ROOT
from tests.support.small_server import environment

# The small site configures Django.
NARROW_SITE = "import tests.support.small_site; from tests.storage.test_items import narrow_site; narrow_site()"
EMOJI = "\N{GRINNING FACE}"


@pytest.fixture
def narrow(settings, monkeypatch):
    """The database stores no emoji."""
    dialect = type(dialect_for(connections[settings.APP_METRICS_DATABASE]))
    insert = dialect.insert_items

    def insert_items(self, connection, rows):
        if any(EMOJI in str(row) for row in rows):
            raise DataError("character with byte sequence 0xf0 0x9f 0x98 0x80 has no equivalent in LATIN1")
        insert(self, connection, rows)

    monkeypatch.setattr(dialect, "insert_items", insert_items)


def record():
    for number in range(5):
        metric(f"slug-{number}", 10)
    metric("slug-0", labels={"mood": EMOJI})
    metric("slug-1", labels={"mood": EMOJI})


def batch():
    with capture_metrics() as recording, collect():
        record()
    return recording.batches[0]


def quarantined():
    return sorted(json.loads(payload)["slug"] for payload in QuarantinedItem.objects.values_list("payload", flat=True))


def test_a_scope_stores_all_items_but_refused_ones(transactional_database, narrow):
    with collect():
        record()
    assert sorted(Item.objects.values_list("slug", flat=True)) == [f"slug-{number}" for number in range(5)]
    assert quarantined() == ["slug-0", "slug-1"]
    assert get_backend().kept == 0


def test_a_write_inside_the_callers_transaction_stores_all_items_but_refused_ones(database, narrow):
    with transaction.atomic(using=database):
        get_backend().write(batch())
    assert Item.objects.count() == 5
    assert quarantined() == ["slug-0", "slug-1"]


def test_a_drained_batch_is_stored_once_without_refused_items(database, narrow):
    found = batch()
    assert write_once(found, {f"damaged {EMOJI}": f"bad {EMOJI}"})
    assert not write_once(found)
    assert (Item.objects.count(), LedgerRow.objects.count(), QuarantinedItem.objects.count()) == (5, 1, 3)


def test_quarantined_items_are_logged_and_stored_as_ascii(database, narrow, caplog):
    write_once(batch(), {f"damaged\0{EMOJI}": "bad"})
    assert "slug-0 was set aside as a quarantined item" in caplog.text
    assert all(row.payload.isascii() and row.reason.isascii() for row in QuarantinedItem.objects.all())


@contextlib.contextmanager
def latin1_database():
    server = coordinates("postgresql")
    import psycopg

    name = f"latin1_{os.getpid()}"
    place = {"host": server["HOST"], "port": server["PORT"] or None, "user": server["USER"]}
    with psycopg.connect(dbname=server["NAME"], autocommit=True, **place) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        try:
            yield server | {"ENGINE": "django.db.backends.postgresql", "NAME": name}
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def narrow_site():
    """Record in each way, aggregate, and print what was counted."""
    call_command("migrate", verbosity=0)
    with collect():
        record()
    with transaction.atomic():
        get_backend().write(batch())
    write_once(batch())
    aggregate()
    totals = {each.slug: int(each.total("day")) for each in Metric.objects.filter(slug__startswith="slug-")}
    warnings = [message.id for message in check_database(databases=["default"])]
    print(json.dumps([totals, quarantined(), Total.objects.filter(labels__contains="mood").count(), warnings]))


def test_an_emoji_on_a_latin1_database_is_set_aside_alone():
    with latin1_database() as database:
        site = environment(database)
        answer = subprocess.run(
            [sys.executable, "-c", NARROW_SITE],
            check=True,
            cwd=ROOT,
            env=site,
            timeout=120,
            capture_output=True,
            text=True,
        )
    totals, aside, labelled, warnings = json.loads(answer.stdout.splitlines()[-1])
    assert totals == {f"slug-{number}": 30 for number in range(5)}
    assert aside == ["slug-0"] * 3 + ["slug-1"] * 3
    assert labelled == 0
    assert warnings == ["app_metrics.W018"]
