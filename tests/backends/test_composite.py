"""One batch to several destinations, each of which may fail on its own."""

import logging

import pytest
from django.core.exceptions import ImproperlyConfigured

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.backends import locmem
from app_metrics.models import Item, Total
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import get_backend, load_backend
from tests.support.contract import batch_of
from tests.support.receiving import NAME, NameServer, StatsdServer, telemetry, wait_for_address

COMPOSITE = "app_metrics.backends.composite"
DATABASE = "app_metrics.backends.db"
LOCMEM = "app_metrics.backends.locmem"
OTEL = "app_metrics.backends.otel"
STATSD = "app_metrics.backends.statsd"
HERE = "tests.backends.test_composite."


class Flaky(MetricsBackend):
    """Fails while `down`, and notes the batches it was given and those it took."""

    def __init__(self):
        self.down = True
        self.given, self.taken = [], []

    def write(self, batch):
        self.given.append(batch.id)
        if self.down:
            raise OSError("down")
        self.taken.append(batch.id)


class Counting(Flaky):
    """Feeds the totals."""

    feeds_totals = True


class Stubborn(Flaky):
    """A second class, so that it fails and recovers on its own."""


class Drained(MetricsBackend):
    """Counts how often it was drained."""

    drains = 0

    def drain(self):
        self.drains += 1


class Undrainable(MetricsBackend):
    def write(self, batch):
        """Accept any batch."""

    def drain(self):
        raise OSError("away")


@pytest.fixture
def composite(settings):
    """Return a function that makes the configured backend a composite of the destinations it is given."""

    def compose(*paths):
        settings.APP_METRICS_COMPOSITE_BACKENDS = paths
        settings.APP_METRICS_BACKEND = COMPOSITE
        settings.APP_METRICS_TIMEOUT = 60
        return load_backend(COMPOSITE)

    locmem.outbox.clear()
    return compose


def taken_by_locmem():
    return [batch.id for batch in locmem.outbox]


@pytest.mark.parametrize("order", [[HERE + "Flaky", LOCMEM], [LOCMEM, HERE + "Flaky"]], ids=["first", "last"])
def test_a_failing_destination_stops_neither_the_others_nor_the_caller(composite, order, caplog):
    backend = composite(*order)
    batch = batch_of("orders")
    with caplog.at_level(logging.ERROR):
        backend.write(batch)
    assert taken_by_locmem() == [batch.id]
    assert str(batch.id) in caplog.text


def test_only_the_failed_destination_is_tried_again(composite):
    backend = composite(LOCMEM, HERE + "Flaky")
    flaky = load_backend(HERE + "Flaky")
    missed = [batch_of("a"), batch_of("b")]
    for batch in missed:
        backend.write(batch)
    flaky.down = False
    later = batch_of("c")
    backend.write(later)
    assert sorted(flaky.taken) == sorted(batch.id for batch in (*missed, later))
    assert taken_by_locmem() == [batch.id for batch in (*missed, later)]


def test_two_failing_destinations_each_keep_their_own(composite):
    backend = composite(HERE + "Flaky", LOCMEM, HERE + "Stubborn")
    flaky, stubborn = load_backend(HERE + "Flaky"), load_backend(HERE + "Stubborn")
    stubborn.down = False
    first, second, third = batch_of("a"), batch_of("b"), batch_of("c")
    backend.write(first)
    flaky.down, stubborn.down = False, True
    backend.write(second)
    stubborn.down = False
    backend.write(third)
    assert set(flaky.taken) == set(stubborn.taken) == set(taken_by_locmem()) == {first.id, second.id, third.id}
    assert len(flaky.taken) == len(stubborn.taken) == 3


def test_events_are_counted_once_if_a_destination_fails(composite, database):
    composite(DATABASE, HERE + "Flaky")
    for number in range(3):
        metric("orders", number)
    assert Item.objects.count() == 3
    aggregate()
    assert Total.objects.get(period="day").total == 3
    assert load_backend(HERE + "Flaky").taken == []


def test_a_destination_that_fails_for_good_keeps_a_bounded_number_of_batches(composite, settings):
    settings.APP_METRICS_RETRY_LIMIT = 2
    backend = composite(HERE + "Flaky", LOCMEM)
    batches = [batch_of("orders") for _ in range(20)]
    for batch in batches:
        backend.write(batch)
    assert get_backend().kept == 3  # two of the first three failures, and one for all later batches
    load_backend(HERE + "Flaky").down = False
    get_backend().retry()
    assert len(load_backend(HERE + "Flaky").taken) == 3
    assert taken_by_locmem() == [batch.id for batch in batches]


def test_it_blocks_and_feeds_totals_if_any_destination_does(composite):
    dummy = "app_metrics.backends.dummy"
    answers = {}
    for destinations in ([dummy, LOCMEM], [dummy, HERE + "Flaky"], [dummy, DATABASE]):
        backend = composite(*destinations)
        answers[destinations[-1]] = (backend.blocks, backend.feeds_totals)
        assert (get_backend().blocks, get_backend().feeds_totals) == (backend.blocks, backend.feeds_totals)
    assert answers == {LOCMEM: (False, False), HERE + "Flaky": (True, False), DATABASE: (True, True)}


def test_it_is_durable_if_every_destination_is(composite, database):
    backend = composite(LOCMEM, DATABASE)
    assert not backend.is_durable()  # the test's own transaction
    assert composite(LOCMEM).is_durable()


def test_a_destination_that_cannot_be_drained_does_not_stop_the_others(composite):
    backend = composite(HERE + "Undrainable", HERE + "Drained")
    drained = load_backend(HERE + "Drained")
    before = drained.drains
    with pytest.raises(ExceptionGroup, match="Some destinations") as failure:
        backend.drain()
    assert [str(error) for error in failure.value.exceptions] == ["away"]
    assert drained.drains == before + 1


def test_an_aggregation_continues_if_a_destination_cannot_be_drained(composite, database):
    composite(HERE + "Undrainable", DATABASE)
    metric("orders", 3)
    assert aggregate().failures
    assert Total.objects.get(period="day").total == 3


def test_exporters_get_the_same_batches_and_only_a_failed_one_is_retried(composite, database, settings, monkeypatch):
    server, receivers, names = StatsdServer(), telemetry(), NameServer(monkeypatch)
    settings.APP_METRICS_STATSD_URL = server.url.replace("127.0.0.1", NAME)
    backend = composite(STATSD, DATABASE, OTEL)
    receivers.metrics()
    for number in (1, 2):
        backend.write(batch_of("exported", number=number))
    assert (get_backend().kept, server.lines()) == (2, [])
    names.answering.set()
    wait_for_address(load_backend(STATSD))
    backend.write(batch_of("exported", number=4))
    assert sorted(server.lines()) == ["exported:1|c", "exported:2|c", "exported:4|c"]
    assert [point.value for point in receivers.points("exported").values()] == [7]
    assert sorted(Item.objects.values_list("total", flat=True)) == [1, 2, 4]


def test_without_destinations_the_checks_complain(composite):
    (message,) = composite().check()
    assert message.id == "app_metrics.E009"
    assert "APP_METRICS_COMPOSITE_BACKENDS" in message.hint


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        ("app_metrics.backends.db", "List the paths"),
        ([DATABASE, 1], "List the paths"),
        ([DATABASE, COMPOSITE], "itself"),
        ([DATABASE, f"{COMPOSITE}.MetricsBackend"], "itself"),
        ([DATABASE, "app_metrics.backends.nowhere"], "app_metrics.backends.nowhere"),
    ],
)
def test_destinations_that_make_no_sense_are_refused_by_name(settings, paths, complaint):
    settings.APP_METRICS_COMPOSITE_BACKENDS = paths
    with pytest.raises(ImproperlyConfigured, match=complaint):
        load_backend(COMPOSITE)


def test_a_destination_that_defines_nothing_but_write_has_no_complaint(settings):
    settings.APP_METRICS_BACKEND = COMPOSITE
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["tests.transport.test_loading.Custom"]
    assert list(load_backend(COMPOSITE).check()) == []


def test_two_destinations_that_count_are_warned_of(settings):
    settings.APP_METRICS_COMPOSITE_BACKENDS = [DATABASE, f"{HERE}Counting", LOCMEM]
    (message,) = load_backend(COMPOSITE).check()
    assert (message.id, message.msg.split(",")[0]) == ("app_metrics.W007", "Every event counts 2 times")
    settings.APP_METRICS_COMPOSITE_BACKENDS = [DATABASE, LOCMEM]
    assert load_backend(COMPOSITE).check() == []
