"""The exporter to statsd, against a UDP socket on loopback."""

import os
import socket
import threading
import time
from collections import Counter
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from freezegun import freeze_time

from app_metrics.backends import statsd
from app_metrics.backends.export import MAX_NUMBERS
from app_metrics.core.batch import Batch, Key
from app_metrics.core.dropped import DROPPED_SLUG, NOT_EXPORTED, take_entries
from app_metrics.core.summary import Summary
from app_metrics.core.uniques import EXACT
from app_metrics.transport.loading import load_backend
from app_metrics.transport.retrying import RetryingBackend
from tests.support.contract import DAY, WithoutDatabase, batch_of
from tests.support.forking import fork
from tests.support.receiving import NAME, NameServer, StatsdServer, wait_for_address
from tests.support.summaries import measured, seen, summary_of

STATSD = "app_metrics.backends.statsd"
# The payload of an Ethernet frame, without the IPv6 and UDP headers.
FRAME = 1_500 - 48


@pytest.fixture(autouse=True)
def server(settings):
    found = StatsdServer()
    settings.APP_METRICS_STATSD_URL = found.url
    yield found
    found.socket.close()


class TestContract(WithoutDatabase):
    path = STATSD


def write(summaries):
    load_backend(STATSD).write(Batch(summaries))


def key(slug, kind="counter", labels="{}", hour=22):
    return Key(slug, kind, labels, DAY, hour)


@pytest.mark.parametrize(
    ("kind", "summary", "lines"),
    [
        ("counter", summary_of(2, 6, 4, at=1), ["a:12|c"]),
        ("counter", summary_of(-7), ["a:-7|c"]),
        ("counter", summary_of(Decimal("2.500000000")), ["a:2.5|c"]),
        ("counter", summary_of(Decimal(10**17)), ["a:100000000000000000|c"]),
        ("counter", summary_of(10**18 - 1), ["a:999999999999999999|c"]),
        ("gauge", summary_of(2, 6, 4, at=1), ["a:4|g"]),
        ("gauge", summary_of(Decimal("0.000000001")), ["a:0.000000001|g"]),
        ("timer", summary_of(Decimal("0.0125")), ["a:12.5|ms"]),
        ("timer", summary_of(1, 4, at=1), ["a:1000|ms", "a:4000|ms"]),
        ("timer", measured(1, 4, 2, at=1), ["a:1000|ms", "a:4000|ms", "a:2000|ms"]),
        ("distribution", measured(1, 4, at=1), ["a:1|ms", "a:4|ms"]),
        ("unique", seen(255, 2**64 - 1, 255), ["a:00000000000000ff|s", "a:ffffffffffffffff|s"]),
        ("timer", summary_of(1, 4, 2, 2, at=1), ["a:1000|ms", "a:4000|ms", "a:2000|ms", "a:2000|ms"]),
    ],
)
def test_a_summary_becomes_lines_of_its_kind(server, kind, summary, lines):
    write({key("a", kind): summary})
    assert server.lines() == lines


def test_a_negative_gauge_is_set_to_zero_first(server):
    write({key("balance", "gauge"): summary_of(-5)})
    assert server.lines() == ["balance:0|g", "balance:-5|g"]


def test_many_lines_share_datagrams_that_fit_a_frame(server):
    slugs = [f"slug-{number}" for number in range(500)]
    load_backend(STATSD).write(batch_of(*slugs))
    datagrams = server.datagrams()
    assert max(map(len, datagrams)) <= FRAME
    assert len(datagrams) < 10
    assert b"".join(datagrams).decode().splitlines() == [f"{slug}:1|c" for slug in slugs]


def test_labels_are_tags_if_the_server_supports_them(server, settings):
    settings.APP_METRICS_STATSD_TAGS = True
    write({key("orders", labels='{"method":"GET","plan":"pro"}'): summary_of(1), key("orders"): summary_of(2)})
    assert server.lines() == ["orders:1|c|#method:GET,plan:pro", "orders:2|c"]


def test_a_server_with_tags_gets_distributions_in_their_own_type(server, settings):
    settings.APP_METRICS_STATSD_TAGS = True
    write({key("price", "distribution", '{"plan":"pro"}'): measured(1, 4, at=1)})
    assert server.lines() == ["price:1|d|#plan:pro", "price:4|d|#plan:pro"]


def test_a_label_cannot_forge_a_line(server, settings):
    settings.APP_METRICS_STATSD_TAGS = True
    write({key("orders", labels='{"plan":"a,b|c\\nfree:1|c"}'): summary_of(1)})
    assert server.lines() == ["orders:1|c|#plan:a_b_c_free:1_c"]


def test_without_tags_label_sets_are_added_up(server):
    write({key("orders", labels=f'{{"plan":"{plan}"}}'): summary_of(number) for number, plan in enumerate("abc", 1)})
    assert server.lines() == ["orders:6|c"]


def test_the_label_sets_of_a_metric_are_capped_over_all_batches(server, settings):
    settings.APP_METRICS_STATSD_TAGS = True
    settings.APP_METRICS_MAX_LABEL_SETS = 2
    for number in range(5):
        write({key("orders", labels=f'{{"user":"{number}"}}'): summary_of(1)})
    tags = Counter(line.partition("#")[2] for line in server.lines())
    assert tags == {"user:0": 1, "user:1": 1, "overflow:true": 3}


def test_hours_are_added_up_and_the_latest_of_a_gauge_counts(server):
    write(
        {
            key("orders", hour=21): summary_of(1),
            key("orders", hour=22): summary_of(2),
            key("queue", "gauge", hour=22): summary_of(5, at=2),
            key("queue", "gauge", hour=21): summary_of(4, at=1),
        }
    )
    assert server.lines() == ["orders:3|c", "queue:5|g"]


def test_names_begin_with_the_prefix(server, settings):
    settings.APP_METRICS_STATSD_PREFIX = "shop.web."
    write({key("orders"): summary_of(1)})
    assert server.lines() == ["shop.web.orders:1|c"]


def test_a_prefix_that_is_no_text_counts_as_none(server, settings):
    settings.APP_METRICS_STATSD_PREFIX = None
    write({key("orders"): summary_of(1)})
    assert server.lines() == ["orders:1|c"]


def test_timings_beyond_the_bound_are_dropped_and_counted(server):
    write({key("export", "timer"): Summary(MAX_NUMBERS + 20, MAX_NUMBERS + 20, 1, 1, 1, 1)})
    assert server.lines() == ["export:1000|ms"] * MAX_NUMBERS
    assert [entry[:4] for entry in take_entries()] == [(DROPPED_SLUG, "counter", f'{{"reason":"{NOT_EXPORTED}"}}', 20)]


def test_a_set_whose_hashes_are_not_kept_is_dropped_and_counted(server):
    write({key("users", "unique", hour=hour): seen(*range(hour * EXACT, EXACT + hour * EXACT)) for hour in (0, 1)})
    assert server.lines() == []
    assert [entry[:4] for entry in take_entries()] == [
        (DROPPED_SLUG, "counter", f'{{"reason":"{NOT_EXPORTED}"}}', 2 * EXACT)
    ]


def test_only_recorded_metrics_are_sent_and_no_thread_remains(server, monkeypatch):
    monkeypatch.setenv("DD_ENV", "production")
    before = set(threading.enumerate())
    with freeze_time() as clock:
        for _ in range(3):
            write({key("orders"): summary_of(1)})
            clock.tick(60)  # a client with telemetry would send some from time to time
    assert server.lines() == ["orders:1|c"] * 3
    assert set(threading.enumerate()) <= before


def test_a_server_that_is_down_does_not_raise_and_is_found_again(server):
    port = server.socket.getsockname()[1]
    write({key("orders"): summary_of(1)})
    server.socket.close()
    for _ in range(4):
        write({key("orders"): summary_of(2)})
    server.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.socket.bind(("127.0.0.1", port))
    for _ in range(2):  # the next send reports the refusal of the previous one
        write({key("orders"): summary_of(3)})
    assert set(server.lines()) == {"orders:3|c"}


def test_threads_that_write_at_once_lose_no_line(server):
    load_backend(STATSD).write(batch_of())
    threads = [
        threading.Thread(target=lambda: [load_backend(STATSD).write(batch_of("a", "b")) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(server.lines()) == {"a:1|c": 80, "b:1|c": 80}


def test_a_forked_process_sends_its_own_and_nothing_twice(server):
    write({key("before"): summary_of(1)})
    child = fork()
    if not child:
        try:
            write({key("child"): summary_of(1)})
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    write({key("parent"): summary_of(1)})
    assert server.lines() == ["before:1|c", "child:1|c", "parent:1|c"]


class TestAServerWithAName:
    """The operating system looks up names, which can be slow; here it is."""

    @pytest.fixture
    def names(self, monkeypatch, settings, server):
        settings.APP_METRICS_STATSD_URL = server.url.replace("127.0.0.1", NAME)
        names = NameServer(monkeypatch)
        yield names
        names.answering.set()

    def test_the_name_of_the_server_is_looked_up_once(self, names, server):
        names.answering.set()
        for _ in range(3):
            write({key("orders"): summary_of(1)})
        assert server.lines() == ["orders:1|c"] * 3
        assert names.lookups == 1

    def test_a_silent_name_server_holds_up_one_batch_for_a_moment_and_loses_none(self, names, server, monkeypatch):
        monkeypatch.setattr(statsd, "PATIENCE", 1)
        retrying = RetryingBackend(load_backend(STATSD))
        retrying._breaker._pause = 60  # longer than this test takes
        started = time.monotonic()
        for number in range(20):
            retrying.write(Batch({key("orders"): summary_of(number)}))
        assert time.monotonic() - started < 20 * statsd.PATIENCE / 2
        # Batches after the first three failures were not tried, and are merged into one.
        assert (retrying.kept, server.lines(), names.lookups) == (4, [], 1)
        names.answering.set()
        wait_for_address(load_backend(STATSD))
        retrying.write(Batch({key("orders"): summary_of(20)}))
        retrying.retry()
        assert sum(int(line.removeprefix("orders:").removesuffix("|c")) for line in server.lines()) == sum(range(21))


def test_an_error_of_name_resolution_names_the_host(settings, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    settings.APP_METRICS_STATSD_URL = "udp://statsd.example"
    with pytest.raises(OSError, match=r"statsd\.example.*not known"):
        write({key("orders"): summary_of(1)})


BAD_URLS = [
    "localhost:8125",
    "tcp://localhost:8125",
    "udp://",
    "udp://:8125",
    "udp://localhost:http",
    "udp://localhost:99999",
    "udp://localhost:8125/prefix",
    "udp://me:secret@localhost:8125",
    "udp://[half",
    b"udp://localhost",
    None,
    8125,
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_found_by_the_checks_and_refused_when_writing(settings, url):
    settings.APP_METRICS_STATSD_URL = url
    (message,) = load_backend(STATSD).check()
    assert message.id == "app_metrics.E026"
    assert "udp://localhost:8125" in message.hint
    with pytest.raises(ImproperlyConfigured, match="APP_METRICS_STATSD_URL"):
        write({key("orders"): summary_of(1)})


@pytest.mark.parametrize(("url", "host", "port"), [("udp://10.1.2.3", "10.1.2.3", 8125), ("udp://[::1]:99", "::1", 99)])
def test_a_port_may_be_left_out_and_an_address_be_of_either_version(settings, url, host, port):
    settings.APP_METRICS_STATSD_URL = url
    assert statsd._server() == (host, port)


def test_the_checks_warn_about_an_exporter_without_a_destination_for_totals(settings):
    settings.APP_METRICS_BACKEND = STATSD
    (message,) = load_backend(STATSD).check()
    assert message.id == "app_metrics.W008"
    assert "app_metrics.backends.db" in message.hint
