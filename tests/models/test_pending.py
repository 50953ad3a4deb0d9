"""Readings include batches pending outside the database, each once, even if they are brought in meanwhile."""

from datetime import date
from decimal import Decimal
from functools import partial
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, Key, new_batch_id
from app_metrics.core.dropped import warn_once
from app_metrics.core.histogram import Histogram
from app_metrics.core.periods import DAY, HOUR
from app_metrics.core.summary import MICROSECONDS, Summary, single
from app_metrics.core.uniques import Uniques
from app_metrics.dashboard.last_seen import first_recorded, last_recorded
from app_metrics.models import Item, LedgerRow, Metric, pending, queries
from app_metrics.models.creation import create_metric
from app_metrics.models.pending import PendingBatches, is_complete, pending_batches
from app_metrics.models.queries import QuerySources
from app_metrics.storage.ledger import write_once
from app_metrics.transfer.stored_totals import first_stored_day, live_end
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import load_backend, replaced_backend
from app_metrics.transport.retrying import RetryingBackend
from tests.support.summaries import measured, seen

pytestmark = pytest.mark.every_database

DATE = date(2026, 5, 31)


class Destination(MetricsBackend):
    """A backend that holds batches elsewhere."""

    def __init__(self, *batches):
        self.batches, self.asked, self.is_down = list(batches), 0, False

    def write(self, batch):
        self.batches.append(batch)

    def pending(self):
        self.asked += 1
        if self.is_down:
            raise OSError("no route")
        return self.batches


def batch(number, *, slug="orders", labels="{}", day=DATE, hour=9, last_at=1):
    return Batch({Key(slug, "counter", labels, day, hour): Summary(*single(number, last_at / MICROSECONDS))})


@pytest.fixture
def destination():
    backend = Destination()
    with replaced_backend(backend):
        yield backend


@pytest.fixture
def orders(database):
    return create_metric("Orders", "orders")


def test_totals_summaries_and_series_include_pending_batches(destination, orders):
    write_once(batch(1))
    aggregate()
    write_once(batch(Decimal("0.5")))
    destination.batches += [batch(4), batch(10, day=date(2026, 6, 1)), batch(100, slug="other")]
    assert orders.total(DAY, DATE) == Decimal("5.5")
    assert orders.total("month", DATE) == Decimal("5.5")
    assert orders.total("year", DATE) == Decimal("15.5")
    assert [point.total for point in orders.series(DAY, DATE, date(2026, 6, 1))] == [Decimal("5.5"), 10]
    assert orders.summary(DAY, DATE).count == 3


def test_a_label_set_of_pending_batches_can_be_read_alone(destination, orders):
    destination.batches += [batch(4, labels='{"plan":"pro"}'), batch(1)]
    assert orders.total(DAY, DATE, {"plan": "pro"}) == 4
    assert orders.total(DAY, DATE) == 5


def test_every_fold_includes_pending_batches(destination, orders):
    destination.batches += [batch(4, labels='{"plan":"pro"}'), batch(1), batch(2, hour=10)]
    sources = QuerySources.everything()
    spans = {"day": [(DAY, DATE, 0)], "hour": [(HOUR, DATE, 9)]}
    found = queries.fold(sources, spans)
    assert {key: summary.total for key, summary in found.items()} == {
        ("orders", '{"plan":"pro"}', "day"): 4,
        ("orders", '{"plan":"pro"}', "hour"): 4,
        ("orders", "{}", "day"): 3,
        ("orders", "{}", "hour"): 1,
    }
    together = queries.fold_together(sources, spans)
    assert {name: summary.total for (_, name), summary in together.items()} == {"day": 7, "hour": 5}
    everything = queries.all_time(sources)
    assert {labels: summary.total for (_, labels), summary in everything.items()} == {'{"plan":"pro"}': 4, "{}": 3}


def test_unique_counts_of_pending_batches_are_united_with_those_of_totals(destination, database):
    users = create_metric("Users", "users", kind="unique")
    write_once(Batch({Key("users", "unique", "{}", DATE, 9): seen(1, 2)}))
    aggregate()
    brought = Batch({Key("users", "unique", "{}", DATE, 9): seen(2, 3, at=1)})
    destination.batches += [brought, Batch({Key("users", "unique", '{"plan":"pro"}', DATE, 9): seen(1, 4)})]
    for step in (lambda: None, lambda: write_once(brought), aggregate):
        step()
        found = users.summary(DAY, DATE)
        assert (found.uniques, found.count) == (Uniques([1, 2, 3, 4]), 6)
        assert users.summary(DAY, DATE, {"plan": "pro"}).uniques == Uniques([1, 4])
        assert queries.all_time(QuerySources.everything())["users", "{}"].uniques == Uniques([1, 2, 3])


def test_batches_drained_during_a_reading_are_seen_once(destination, orders):
    brought, waits = batch(4), batch(1)
    destination.batches += [brought, waits]
    sources = QuerySources.everything()
    for step in (lambda: None, lambda: write_once(brought), aggregate):
        step()
        assert orders.total(DAY, DATE) == 5
        (summary,) = queries.fold(sources, {"day": [(DAY, DATE, 0)]}).values()
        assert summary.total == 5
        (summary,) = queries.all_time(sources).values()
        assert (summary.total, summary.count) == (5, 2)


def test_histograms_of_all_times_include_pending_batches_once(destination, database):
    create_metric("Export", "export", "timer")
    durations = [Batch({Key("export", "timer", "{}", DATE, 9): measured(*numbers)}) for numbers in ((1, 2), (4,))]
    destination.batches += durations
    sources = QuerySources.everything()
    for step in (lambda: None, lambda: write_once(durations[0]), lambda: write_once(durations[1]), aggregate):
        step()
        (summary,) = queries.all_time(sources, sketches=True).values()
        assert summary.histogram == Histogram([1, 2, 4])


def test_with_total_includes_a_pending_batch_once(destination, orders):
    brought, tomorrow = batch(4), date(2026, 6, 1)
    write_once(batch(1))
    destination.batches += [brought, batch(Decimal("0.5")), batch(100, slug="other"), batch(7, day=tomorrow)]
    metrics = Metric.objects.with_total(DAY, DATE).with_total("year", DATE, name="year")
    for step in (lambda: None, lambda: write_once(brought), aggregate):
        step()
        metric = metrics.all().get(slug="orders")
        assert (metric.period_total, metric.year) == (Decimal("5.5"), Decimal("12.5"))


def test_a_sum_of_the_database_includes_very_many_batches(destination, orders):
    destination.batches += [batch(1) for _ in range(200)]
    assert Metric.objects.with_total(DAY, DATE).get(slug="orders").period_total == 200


def test_the_backlog_includes_pending_batches(destination, database):
    write_once(batch(1))
    old = Batch(batch(4).summaries, UUID(int=new_batch_id().int - (3_600_000 << 80)))
    destination.batches += [old, Batch(batch(5).summaries, uuid5(NAMESPACE_OID, "a damaged id"))]
    assert backlog().items == 3
    assert backlog().age == pytest.approx(3600, abs=60)


def test_the_first_day_of_a_metric_may_be_in_a_pending_batch(destination, orders):
    write_once(batch(1, day=date(2026, 6, 1)))
    destination.batches += [batch(1), batch(1, slug="visits", labels='{"url":"home"}', hour=3)]
    assert first_stored_day("orders") == DATE
    assert live_end("orders") == (DATE, 10)
    assert live_end("orders", (DATE, 10)) == (date(2026, 6, 1), 10)
    assert first_recorded(["visits"], '"url"') == DATE


def test_an_item_with_a_negative_count_is_not_taken_for_the_marker_of_a_batch(destination, orders):
    destination.batches.append(batch(4))
    poison = Summary(*single(100, 0))._replace(count=-1)
    Item.objects.create(id=uuid4(), slug="orders", kind="counter", labels="{}", day=DATE, hour=9, **poison._asdict())
    assert orders.total(DAY, DATE) == 104
    (summary,) = queries.all_time(QuerySources.everything()).values()
    assert (summary.total, summary.count) == (104, 0)


def test_pending_batches_cost_no_additional_query(destination, orders):
    connection = connections[orders._state.db]
    with CaptureQueriesContext(
        connection,
    ) as without:
        orders.total(DAY, DATE)
    assert len(without) == 1
    assert LedgerRow._meta.db_table not in without[0]["sql"]
    pending._latest = pending._latest._replace(until=0)
    destination.batches.append(batch(4))
    with CaptureQueriesContext(connection) as queries:
        assert orders.total(DAY, DATE) == 4
    assert len(queries) == 1


def test_the_destination_is_asked_once_for_many_readings(destination, orders, monkeypatch):
    monkeypatch.setattr(pending, "CACHE_SECONDS", 600)
    for _ in range(20):
        orders.total(DAY, DATE)
    assert destination.asked == 1
    monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
    orders.total(DAY, DATE)
    assert destination.asked == 2


def test_last_recorded_includes_pending_batches(destination, orders):
    write_once(batch(1, last_at=5))
    destination.batches += [batch(1, last_at=7), batch(1, slug="visits", labels='{"page":"home"}', last_at=9)]
    assert last_recorded(["orders"], apart=["visits"]) == {("orders", ""): 7, ("visits", '{"page":"home"}'): 9}


def test_without_an_answer_of_the_backend_readings_are_incomplete(destination, orders, monkeypatch, caplog):
    monkeypatch.setattr(pending, "RETRY_AFTER", 600)
    write_once(batch(1))
    destination.batches.append(batch(4))
    destination.is_down = True
    assert orders.total(DAY, DATE) == 1
    assert not is_complete()
    assert destination.asked == 1
    assert "no route" in caplog.text
    destination.is_down = False
    monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
    assert orders.total(DAY, DATE) == 5
    assert is_complete()


def test_many_causes_of_incomplete_readings_hide_no_other_warning(destination, orders, monkeypatch, caplog):
    for number in range(20):
        monkeypatch.setattr(destination, "pending", partial(fail, f"no file {number}"))
        monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
        assert orders.total(DAY, DATE) == 0
    assert "no file 1" in caplog.text
    warn_once("The process ends before all metrics are written.")
    assert "The process ends" in caplog.text


def fail(text):
    raise OSError(text)


@pytest.mark.only_sqlite
def test_a_destination_that_does_not_answer_hides_no_other(destination, orders, settings, caplog):
    lost, broken = Destination(batch(1)), Destination(batch(2))
    lost.is_down = True
    broken.pending = lambda: failing_at_the_end(broken.batches)
    destination.batches.append(batch(4))
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.dummy"]
    composite = load_backend("app_metrics.backends.composite")
    composite.destinations = [RetryingBackend(each) for each in (lost, broken, destination)]
    with replaced_backend(composite):
        assert orders.total(DAY, DATE) == 6
        assert not is_complete()
    assert "no route" in caplog.text


def failing_at_the_end(batches):
    yield from batches
    raise OSError("no route to the rest")


def test_without_a_backend_nothing_is_missing(settings):
    settings.APP_METRICS_BACKEND = "nowhere"
    assert pending_batches() == PendingBatches()
    assert is_complete()
