"""The example site on real servers: the totals match the visitors' own counts."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from celery import Celery

from scripts.comparison import RATIOS, Counts, Row, compare, compare_ratios
from scripts.server import create_database, manage, serve, work
from scripts.visitor import KEEPER, Expected, visit
from tests.soak.brokers.conftest import KINDS, sharing, waiting
from tests.support import redis_server
from tests.support.example_site import mariadb, mysql, postgresql, sqlite
from tests.support.paths import ROOT
from tests.support.receiving import StatsdServer
from tests.support.scope import full_length
from tests.support.servers import runs
from tests.support.small_server import found
from tests.support.waiting import wait_until

REQUESTS = 2000 if full_length else 200
CONCURRENCY = 8
URL_RULES = {
    "downloads",
    "searches",
    "checkouts",
    "checkout_seconds",
    "failures",
    "requests",
    "downloaded_bytes",
    "not_found",
    "account_forms",
    "delivered_copies",
    "active_users",
}
MODEL_RULES = {"orders", "items_sold", "revenue", "large_orders", "payment_seconds", "stock", "book_changes"}
SIGNAL_RULES = {"signups", "logins", "failed_logins", "refused_payments", "newsletter_subscribers"}
BY_TRACK_AND_BY_HAND = {"statements", "exported_rows"}


SLOW = pytest.mark.slow


@pytest.fixture(
    params=[sqlite, *(pytest.param(server, marks=SLOW) for server in (postgresql, mariadb, mysql))],
    ids=lambda database: database.__name__,
)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of an example site with a migrated database of its own."""
    with request.param(f"example_{os.getpid()}", tmp_path) as database:
        environment = {**database, "EXAMPLE_FAST_HASHER": "1", "EXAMPLE_METRICS_BACKEND": "db"}
        create_database(sys.executable, environment, KEEPER)
        yield environment


def counted(environment: dict[str, str]) -> Counts:
    manage(sys.executable, environment, "metrics_aggregate")
    printed = json.loads(manage(sys.executable, environment, "show_totals"))
    return {slug: (count, Decimal(total)) for slug, (count, total) in printed.items()}


def shop(folder: Path, **variables: str) -> dict[str, str]:
    """Return the environment of an example site with a migrated SQLite database and these variables."""
    with sqlite("shop", folder) as database:
        environment = {**database, "EXAMPLE_FAST_HASHER": "1", **variables}
    create_database(sys.executable, environment, KEEPER)
    return environment


def visited(environment: dict[str, str], folder: Path) -> Expected:
    """Send visitors to the site on gunicorn; return their counts once gunicorn has ended and so written."""
    with serve("gunicorn", environment, folder / "server.log") as (address, _):
        return visit(address, 100, CONCURRENCY)


def disagreeing(expected: Expected, environment: dict[str, str]) -> list[Row]:
    return [row for row in compare(expected, counted(environment)) if not row.ok]


def pending_items(environment: dict[str, str]) -> int:
    return sum(found(environment["EXAMPLE_DB_NAME"]).values())


@pytest.mark.parametrize("server", ["gunicorn", pytest.param("uvicorn", marks=SLOW)])
def test_totals_equal_the_requests_of_the_visitors(server: str, site: dict[str, str], tmp_path: Path) -> None:
    """Two server processes lose nothing and double nothing of what eight visitors do."""
    with serve(server, site, tmp_path / "server.log") as (address, _):
        expected = visit(address, REQUESTS, CONCURRENCY)
    assert expected.keys() >= URL_RULES | MODEL_RULES | SIGNAL_RULES | BY_TRACK_AND_BY_HAND
    assert disagreeing(expected, site) == []
    read = json.loads(manage(sys.executable, site, "show_ratios", *RATIOS))
    assert [row for row in compare_ratios(expected, {}, read) if not row.ok] == []


@pytest.mark.slow
@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_totals_equal_the_requests_with_merged_batches(server: str, tmp_path: Path) -> None:
    """Processes write their merged batches when the server ends, and nothing before."""
    site = shop(tmp_path, EXAMPLE_FLUSH_INTERVAL="600")
    with serve(server, site, tmp_path / "server.log") as (address, _):
        expected = visit(address, 100, CONCURRENCY)
        assert pending_items(site) == 0
    assert disagreeing(expected, site) == []


@pytest.mark.slow
def test_totals_equal_the_requests_over_redis(tmp_path: Path) -> None:
    """Batches go to Redis, and reach the database only when the aggregation brings them in."""
    with redis_server.configured() as redis:
        url = redis.coordinates()["URL"]
        site = shop(tmp_path, EXAMPLE_METRICS_BACKEND="redis", EXAMPLE_REDIS_URL=url, EXAMPLE_TIMEOUT="60")
        expected = visited(site, tmp_path)
        assert pending_items(site) == 0
        assert disagreeing(expected, site) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_totals_equal_the_requests_over_celery(kind: str, tmp_path: Path) -> None:
    """Batches go through either broker to a worker with the same environment variables."""
    url = KINDS[kind]().url
    broker = Celery(broker=url, set_as_current=False)
    site = shop(tmp_path, EXAMPLE_METRICS_BACKEND="celery", EXAMPLE_BROKER_URL=url, EXAMPLE_TIMEOUT="60")
    with sharing():
        expected = visited(site, tmp_path)
        assert waiting(broker, "celery") > 0
        with work(site, tmp_path / "worker.log"):
            wait_until(lambda: waiting(broker, "celery") == 0)
            # The worker has taken the last batches, but would return them if it ended now.
            wait_until(lambda: disagreeing(expected, site) == [])


@pytest.mark.slow
def test_totals_equal_the_requests_beside_exporters(tmp_path: Path) -> None:
    """The database and a statsd server get the same totals, even though nothing receives those for OpenTelemetry."""
    statsd = StatsdServer()
    site = shop(tmp_path, EXAMPLE_METRICS_BACKEND="composite", EXAMPLE_STATSD_URL=statsd.url)
    expected = visited(site, tmp_path)
    assert disagreeing(expected, site) == []
    # A failure of the exporter would stop no other backend, and only show in the log.
    assert "backends/otel.py" not in (tmp_path / "server.log").read_text()
    del expected["stock"]  # a gauge, whose numbers do not add up
    told: dict[str, Decimal] = defaultdict(Decimal)
    for name, number in re.findall(r"^(\w+):(\d+(?:\.\d+)?)\|c$", "\n".join(statsd.lines()), re.MULTILINE):
        told[name] += Decimal(number)
    assert told == {slug: total for slug, (_, total) in expected.items() if total is not None and "{" not in slug}


@pytest.mark.slow
def test_demo_data_are_created_only_once(tmp_path: Path) -> None:
    """One call creates the demo data, and a second call fails without doubling it."""
    with sqlite("shop", tmp_path) as site:
        manage(sys.executable, site, "migrate", "--verbosity=0")
        printed = manage(sys.executable, site, "seed_history", "--days=3")
        assert "demo data, made up" in printed
        before = counted(site)
        with pytest.raises(subprocess.CalledProcessError):
            manage(sys.executable, site, "seed_history", "--days=3", stderr=subprocess.DEVNULL)
        assert before["orders"][0] > 0
        assert counted(site) == before


def test_a_signal_to_make_demo_reaches_the_demo(tmp_path: Path) -> None:
    """Otherwise its server goes on."""
    python, pid = tmp_path / "python", tmp_path / "pid"
    python.write_text(f"#!/bin/sh\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 300\n")
    python.chmod(0o700)
    make = subprocess.Popen(["make", "demo", f"PYTHON={python}"], cwd=ROOT)
    wait_until(pid.exists, 60)
    demo = pid.read_text().strip()
    try:
        make.terminate()
        make.wait(60)
        wait_until(lambda: not runs(demo), 10)
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(demo), signal.SIGKILL)
