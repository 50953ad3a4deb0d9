"""Backfill the history of a metric from its source table, and verify its totals against that table."""

import random
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import collect, gauge, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.contrib.model_rules import compile_models
from app_metrics.core.periods import DAY, HOUR, PERIODS, Period, bucket
from app_metrics.models import Backfill, HighWaterMark, Item, Metric, Milestone, Total
from app_metrics.transfer import source_tables
from app_metrics.transfer.backfill import backfill, remaining
from app_metrics.transfer.source_tables import UnusableSource, configured_source, given_source, sources_of
from app_metrics.transfer.verify import verify
from tests.support.threads import at_once
from tests.testapp.models import Document, Order, Subscription, Tag

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, tzinfo=BERLIN)
HOURS = timedelta(hours=1)


class Crash(Exception):
    pass


@pytest.fixture
def orders(transactional_database, settings):
    """Count orders live, each with its amount, at the time it was placed."""
    settings.APP_METRICS_MODELS = rules({"num": "amount"})
    return transactional_database


def rules(keys=(), model="testapp.Order", field="placed_at"):
    return {model: {"created": {"slug": "orders", "backfill": field, **dict(keys)}}}


def before(*moments, **values):
    """Create rows without signals, so that nothing counts them."""
    Order.objects.bulk_create([Order(placed_at=at, **values) for at in moments])


def live(*moments, **values):
    """Create rows at the time they are placed, with signals, so that they are counted."""
    for at in moments:
        with freeze_time(at):
            Order.objects.create(placed_at=at, **values)


def fill(at=NOON, source=None):
    with freeze_time(at):
        return backfill(source or configured_source("orders"))


def again(at=NOON):
    with freeze_time(at):
        return backfill(configured_source("orders"), again=True)


def differences(at=NOON, source=None):
    with freeze_time(at):
        return [
            (each.day, each.labels, each.source.count, each.stored.count)
            for each in verify(source or configured_source("orders"))
        ]


def stored(period=None):
    """Return count and total of every stored row, by label set, period, start and hour."""
    aggregate()
    rows = Total.objects.filter(metric__slug="orders").order_by("pk")
    rows = rows.filter(period=period) if period else rows
    return {
        (total.labels, total.period, total.start, total.hour): (total.count, Decimal(total.total)) for total in rows
    }


def expected(rows):
    """Return what `stored` must return for rows of (moment, amount) or (moment, amount, label set)."""
    totals = defaultdict(lambda: (0, Decimal(0)))
    for at, amount, *labels in rows:
        day, hour = bucket(int(at.timestamp()), BERLIN)
        for period in PERIODS:
            key = (labels[0] if labels else "{}", period, period.start_of(day), hour if period == HOUR else 0)
            totals[key] = totals[key][0] + 1, totals[key][1] + amount
    return dict(totals)


@contextmanager
def crash_at(alias, number):
    """Raise `Crash` instead of statement `number`; yield the list of statements."""
    seen = []

    def wrapper(execute, sql, params, many, context):
        seen.append(sql)
        if len(seen) == number:
            raise Crash
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(wrapper), suppress(Crash):
        yield seen


def test_history_is_added_to_all_periods_up_to_the_hour_in_which_live_counting_began(orders):
    past = [NOON - days * timedelta(days=1) for days in (400, 40, 5, 1)] + [NOON + timedelta(minutes=2)]
    before(*past, amount=3)
    live(NOON + timedelta(minutes=5), NOON + 2 * HOURS, amount=5)
    done = fill(NOON + 3 * HOURS)
    assert (done.events, done.is_finished, done.until) == (5, True, NOON + HOURS)
    counted = [(at, Decimal(3)) for at in past]
    counted += [(NOON + timedelta(minutes=5), Decimal(5)), (NOON + 2 * HOURS, Decimal(5))]
    assert stored() == expected(counted)
    assert differences(NOON + 4 * HOURS) == []


def test_minimum_maximum_and_last_cover_filled_and_live_events(orders):
    for minutes, amount in enumerate((4, 9, 2)):
        before(NOON + timedelta(minutes=minutes), amount=amount)
    live(NOON + timedelta(minutes=30), amount=5)
    fill(NOON + 2 * HOURS)
    summary = Metric.objects.get(slug="orders").summary("day", NOON.date())
    assert summary[:5] == (4, 20, 2, 9, 5)


def test_a_second_run_changes_nothing_also_when_rows_were_added_since(orders):
    before(NOON - HOURS, NOON - 30 * HOURS)
    live(NOON)
    fill(NOON + 2 * HOURS)
    once = stored()
    before(NOON - 5 * HOURS)
    again = fill(NOON + 9 * HOURS)
    assert (again.was_finished, again.events, again.rows) == (True, 0, 0)
    assert stored() == once


def test_the_hour_in_which_live_counting_began_waits_until_it_is_over(orders):
    before(NOON - HOURS, NOON + timedelta(minutes=1))
    live(NOON + timedelta(minutes=5))
    done = fill(NOON + timedelta(minutes=69))
    assert (done.events, done.is_finished, done.until) == (1, False, NOON)
    assert done.again_at == NOON + timedelta(minutes=70)
    done = fill(done.again_at)
    assert (done.events, done.is_finished, done.until) == (1, True, NOON + HOURS)
    assert differences(NOON + 3 * HOURS) == []


def test_without_live_events_later_runs_continue(orders):
    before(NOON - 30 * HOURS, NOON - HOURS)
    done = fill(NOON + timedelta(minutes=30))
    assert (done.events, done.is_finished, done.again_at, done.until) == (2, False, None, NOON)
    before(NOON + timedelta(minutes=40), NOON + 2 * HOURS)
    live(NOON + 3 * HOURS)
    live(NOON + 5 * HOURS)
    before(NOON + 5 * HOURS)
    done = fill(NOON + 9 * HOURS)
    assert (done.events, done.is_finished, done.until) == (2, True, NOON + 4 * HOURS)
    assert differences(NOON + 9 * HOURS) == [(NOON.date(), "{}", 6, 5)]


def test_hours_that_were_filled_are_not_filled_again(orders):
    before(NOON - 3 * HOURS)
    fill()
    before(NOON - 3 * HOURS)
    assert fill(NOON + 3 * HOURS).events == 0


def test_rows_that_were_deleted_since_stay_counted(orders):
    live(NOON - 30 * HOURS, NOON - 30 * HOURS + timedelta(minutes=1), NOON)
    aggregate()
    Order.objects.filter(placed_at=NOON - 30 * HOURS).delete()
    before(NOON - 30 * HOURS - timedelta(minutes=20))
    before(NOON - 60 * HOURS)
    fill(NOON + 2 * HOURS)
    day = (NOON - 30 * HOURS).date()
    assert stored(DAY)["{}", DAY, day, 0] == (3, 3)
    assert differences(NOON + 2 * HOURS) == [(day, "{}", 2, 3)]


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_filling_any_history_is_exact_after_any_number_of_crashes(seed, orders, monkeypatch, settings):
    """The history includes a day of 25 hours; live counting begins at any time, and items may be pending."""
    chance = random.Random(seed)
    monkeypatch.setattr(source_tables, "CHUNK_ROWS", chance.choice((1, 7, 50)))
    monkeypatch.setattr(source_tables, "CHUNK_DAYS", chance.choice((1, 2, 366)))
    settings.APP_METRICS_MODELS = rules({"num": "amount", "labels": {"plan": "plan"}})
    first, last = datetime(2026, 10, 22, 12, tzinfo=UTC), datetime(2026, 10, 26, 12, tzinfo=UTC)
    moments = sorted(first + chance.random() * (last - first) for _ in range(60))
    began = first + chance.random() * (last - first)
    counted = []
    for at in moments:
        plan, amount = chance.choice(("free", "pro")), Decimal(chance.randrange(-300, 900)) / 100
        (before if at < began else live)(at, plan=plan, amount=amount)
        counted.append((at, amount, f'{{"plan":"{plan}"}}'))
        if chance.random() < 0.2:
            aggregate()
        if chance.random() < 0.2:
            with crash_at(orders, chance.randrange(1, 60)):
                fill(at)
    for number in range(1, 200):
        with crash_at(orders, number) as seen:
            done = fill(last + 2 * HOURS)
        if len(seen) < number:
            break
    once = stored()
    assert once == expected(counted)
    assert fill(last + 3 * HOURS).events == 0
    assert (stored(), differences(last + 3 * HOURS)) == (once, [])
    assert done.is_finished or all(at < began for at in moments)


@pytest.mark.slow
def test_two_runs_at_once_add_everything_once(orders, monkeypatch):
    monkeypatch.setattr(source_tables, "CHUNK_ROWS", 3)
    moments = [NOON - number * timedelta(hours=7) for number in range(200)]
    before(*moments)
    live(NOON + HOURS)
    with freeze_time(NOON + 5 * HOURS):
        at_once(4, lambda: backfill(configured_source("orders")))
    assert Backfill.objects.get().events == len(moments)
    assert stored() == expected([(at, Decimal(1)) for at in [*moments, NOON + HOURS]])


@pytest.mark.slow
def test_it_runs_beside_an_aggregation(orders, monkeypatch):
    monkeypatch.setattr(source_tables, "CHUNK_DAYS", 1)
    before(*(NOON - number * HOURS for number in range(1, 200)))
    live(*(NOON + number * timedelta(minutes=1) for number in range(50)))
    source = configured_source("orders")
    fold = source_tables.MetricSource.fold

    def fold_and_aggregate(self, *arguments):
        history = fold(self, *arguments)
        aggregate(chunk_size=5)
        return history

    monkeypatch.setattr(source_tables.MetricSource, "fold", fold_and_aggregate)
    fill(NOON + 3 * HOURS, source)
    assert stored(DAY)["{}", DAY, NOON.date(), 0][0] == 50 + 12
    assert differences(NOON + 3 * HOURS) == []


@pytest.mark.slow
def test_hours_that_were_pruned_are_compared_by_day_and_not_filled(orders, settings):
    days = [NOON - number * timedelta(days=1) for number in range(100)]
    live(*days)
    before(*(at + timedelta(minutes=5) for at in days[-3:]), NOON - timedelta(days=200))
    aggregate()
    settings.APP_METRICS_RETENTION = {"hour": 30}
    with freeze_time(NOON):
        call_command("metrics_prune", verbosity=0)
    done = fill()
    began = days[-1].date()
    assert (done.events, done.until.date()) == (2, began + timedelta(days=1))
    assert stored(DAY)["{}", DAY, began, 0] == (2, 2)
    assert not Total.objects.filter(period=HOUR, start=began).exists()
    # The rows of later days were created without a signal, after live counting began.
    assert differences() == [(each.date(), "{}", 2, 1) for each in reversed(days[-3:-1])]


@pytest.mark.slow
def test_after_pruning_filling_ends_before_the_first_stored_month(orders, settings):
    live(*(NOON - number * timedelta(days=1) for number in range(100)))
    before(NOON - timedelta(days=99, hours=1), datetime(2026, 7, 31, 12, tzinfo=BERLIN))
    aggregate()
    settings.APP_METRICS_RETENTION = {"hour": 30, "day": 40}
    with freeze_time(NOON):
        call_command("metrics_prune", verbosity=0)
    done = fill()
    assert (done.events, done.until) == (1, datetime(2026, 8, 1, tzinfo=BERLIN))
    assert stored("year")["{}", "year", date(2026, 1, 1), 0] == (101, 101)
    assert differences() == []  # pruned days are not compared


def test_labels_num_and_when_apply_to_rows_as_they_do_live(orders, settings):
    settings.APP_METRICS_MODELS = rules(
        {"num": "amount", "labels": {"plan": "plan", "title": "document.title"}, "when": "is_real"}
    )
    Order.is_real = property(lambda self: not self.is_test)
    try:
        for make in (before, live):
            make(NOON, plan="pro", amount=7, document=Document.objects.create(title="a"))
            make(NOON, plan="pro", amount=7, is_test=True)
            make(NOON, plan="free", amount=2)
        fill(NOON + 2 * HOURS)
        labels = ('{"plan":"free","title":""}', '{"plan":"pro","title":"a"}')
        counted = [(NOON, Decimal(2), labels[0]), (NOON, Decimal(7), labels[1])] * 2
        assert stored() == expected(counted)
        assert differences(NOON + 2 * HOURS) == []
    finally:
        del Order.is_real


def test_rows_are_read_together_with_related_rows(orders, settings):
    settings.APP_METRICS_MODELS = rules({"labels": {"owner": "document.owner.username"}})
    user = User.objects.create(username="ann")
    for _ in range(30):
        before(NOON, document=Document.objects.create(title="a", owner=user))
    with CaptureQueriesContext(connections[orders]) as queries:
        fill(NOON + 2 * HOURS)
    assert not [
        each["sql"]
        for each in queries
        if "FROM" in each["sql"] and "username" in each["sql"] and "JOIN" not in each["sql"]
    ]
    assert stored(DAY)['{"owner":"ann"}', DAY, NOON.date(), 0] == (30, 30)


def test_rows_on_which_a_rule_fails_are_left_out_as_they_are_live(orders, settings, caplog):
    settings.APP_METRICS_MODELS = rules({"num": "document.pages"})
    before(NOON, NOON)
    before(NOON, document=Document.objects.create(title="a", pages=3))
    done = fill(NOON + 2 * HOURS)
    assert (done.rows, done.skipped, done.events) == (3, 2, 1)
    assert "A row was skipped: APP_METRICS_MODELS['testapp.Order']['created']" in caplog.text
    assert stored(DAY) == {("{}", DAY, NOON.date(), 0): (1, 3)}


def test_rows_without_a_valid_date_are_skipped_and_counted(orders):
    before(None, datetime(900, 1, 1, tzinfo=UTC), NOON)
    source = configured_source("orders")
    assert fill(NOON + 2 * HOURS, source).events == 1
    assert source.undated() == 2


def test_rows_of_years_that_are_not_allowed_are_skipped_and_counted(orders, settings):
    before(datetime(1960, 6, 1, tzinfo=UTC), datetime(2101, 6, 1, tzinfo=UTC), NOON)
    source = configured_source("orders")
    assert (source.undated(), source.first_day()) == (2, NOON.date())
    settings.APP_METRICS_YEARS = (1950, 2200)
    assert (source.undated(), source.first_day()) == (0, date(1960, 6, 1))


def test_label_sets_beyond_the_cap_overflow_as_they_do_live(orders, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 3
    settings.APP_METRICS_MODELS = rules({"labels": {"plan": "plan"}})
    for plan in "abcde":
        before(NOON - HOURS, NOON + timedelta(minutes=1), plan=plan)
    for plan in "edc":
        live(NOON + timedelta(minutes=2), plan=plan)
    aggregate()
    live(NOON + timedelta(minutes=3), plan="a")
    fill(NOON + 2 * HOURS)
    counts = {labels: count for (labels, *_), (count, _) in stored(DAY).items()}
    assert counts == {'{"plan":"e"}': 3, '{"plan":"d"}': 3, '{"plan":"c"}': 3, '{"overflow":"true"}': 5}
    assert differences(NOON + 2 * HOURS) == []


def test_rows_may_be_in_another_database_than_the_totals(orders, settings):
    settings.TEST_SITE_DATABASE = "default"
    before(NOON - HOURS)
    live(NOON)
    fill(NOON + 2 * HOURS)
    assert stored() == expected([(NOON - HOURS, Decimal(1)), (NOON, Decimal(1))])
    assert Order.objects.using("default").count() == 2


def test_several_models_feed_one_metric(orders, settings):
    settings.APP_METRICS_MODELS = rules() | rules(model="auth.User", field="date_joined")
    before(NOON - 50 * HOURS, NOON)
    User.objects.bulk_create(
        [User(username="ann", date_joined=NOON), User(username="bo", date_joined=NOON - 9 * HOURS)]
    )
    fill(NOON + 2 * HOURS)
    counted = [(at, Decimal(1)) for at in (NOON - 50 * HOURS, NOON - 9 * HOURS, NOON, NOON)]
    assert stored() == expected(counted)


def test_rows_of_a_child_with_a_table_of_its_own_are_its_parents_too(orders, settings):
    before(NOON - 4 * HOURS)
    with freeze_time(NOON - 2 * HOURS):
        Subscription.objects.create(placed_at=NOON - 2 * HOURS)
    live(NOON)
    fill(NOON + 2 * HOURS)
    assert stored(DAY) == {("{}", DAY, NOON.date(), 0): (3, 3)}
    assert [each[2:] for each in differences(NOON + 2 * HOURS)] == []
    settings.APP_METRICS_MODELS = rules(model="testapp.Subscription")
    assert [each[2:] for each in differences(NOON + 2 * HOURS)] == [(1, 3)]


def test_a_date_without_a_time_is_its_midnight(orders, settings):
    settings.APP_METRICS_MODELS = rules(field="day")
    Order.objects.bulk_create([Order(day=date(2026, 3, 29)), Order(day=date(2026, 11, 1))])
    with freeze_time(NOON):
        Order.objects.create(day=NOON.date())
    fill(NOON + 2 * HOURS)
    midnights = [datetime(2026, *each, tzinfo=BERLIN) for each in ((3, 29), (11, 1), (11, 23))]
    assert stored() == expected([(at, Decimal(1)) for at in midnights])
    assert differences(NOON + 2 * HOURS) == []


@pytest.fixture
def dated(orders, settings):
    """Count orders live by a date field, which has no time of day."""
    settings.APP_METRICS_MODELS = rules(field="day")
    return orders


def test_rows_of_a_day_are_filled_after_its_end(dated, monkeypatch):
    day = date(2026, 11, 23)
    fold = source_tables.MetricSource.fold

    def fold_beside_a_visitor(self, *arguments):
        history = fold(self, *arguments)
        Order.objects.create(day=day)
        return history

    Order.objects.bulk_create([Order(day=day - timedelta(days=1)), *(Order(day=day) for _ in range(5))])
    with freeze_time(NOON):
        Order.objects.create(day=day)
    with monkeypatch.context() as patched:
        patched.setattr(source_tables.MetricSource, "fold", fold_beside_a_visitor)
        done = fill(NOON + HOURS)
    assert (done.events, done.is_finished, done.until) == (1, False, datetime(2026, 11, 23, tzinfo=BERLIN))
    assert done.again_at == datetime(2026, 11, 24, 0, 10, tzinfo=BERLIN)
    assert differences(NOON + HOURS) == []
    assert not fill(done.again_at - timedelta(seconds=1)).is_finished
    done = fill(done.again_at)
    assert (done.events, done.is_finished, done.until) == (5, True, datetime(2026, 11, 24, tzinfo=BERLIN))
    assert stored(DAY)["{}", DAY, day, 0] == (7, 7)
    assert differences(NOON + 20 * HOURS) == []


def test_events_in_open_scopes_are_not_filled(dated):
    day = date(2026, 11, 23)
    with freeze_time(NOON):
        Order.objects.create(day=day)
        aggregate()
        with collect():
            Order.objects.create(day=day)
            assert backfill(configured_source("orders")).events == 0
    fill(NOON + 24 * HOURS)
    assert stored(DAY) == {("{}", DAY, day, 0): (2, 2)}


def test_without_live_rows_a_day_is_filled_after_its_end(dated):
    Order.objects.create(day=date(2026, 11, 23))
    aggregate()
    Item.objects.all().delete()
    Metric.objects.all().delete()
    assert fill(datetime(2026, 11, 24, 0, 9, tzinfo=BERLIN)).events == 0
    assert fill(datetime(2026, 11, 24, 0, 10, tzinfo=BERLIN)).events == 1


@pytest.mark.slow
def test_beginning_again_fills_after_a_row_dated_long_past(orders):
    moments = [NOON - number * timedelta(days=30) for number in range(1, 40)]
    before(*moments, NOON + 5 * HOURS)
    past = NOON - timedelta(days=2000)
    with freeze_time(NOON):
        Order.objects.create(placed_at=past)
    live(NOON, NOON + timedelta(minutes=150))
    done = fill(NOON + 3 * HOURS)
    assert (done.events, done.is_finished) == (0, True)
    done = again(NOON + 3 * HOURS)
    assert (done.events, done.was_finished, done.is_finished, done.until) == (39, False, True, NOON + 2 * HOURS)
    assert stored() == expected([(at, Decimal(1)) for at in (past, NOON, NOON + timedelta(minutes=150), *moments)])
    assert again(NOON + 4 * HOURS).events == 0
    assert differences(NOON + 4 * HOURS) == []


def test_beginning_again_too_early_leaves_the_rest_to_a_later_run(orders):
    before(NOON - 30 * HOURS, *[NOON + timedelta(minutes=5)] * 5)
    live(NOON + timedelta(minutes=20))
    assert fill(NOON + timedelta(minutes=25)).events == 1
    done = again(NOON + timedelta(minutes=26))
    assert (done.events, done.is_finished, done.again_at) == (0, False, NOON + timedelta(minutes=70))
    done = fill(done.again_at)
    assert (done.events, done.is_finished) == (5, True)
    assert differences(NOON + 2 * HOURS) == []


def test_beginning_again_fills_rows_on_which_the_rule_failed(orders, settings):
    settings.APP_METRICS_MODELS = rules({"num": "document.pages"})
    before(NOON - 30 * HOURS, NOON - 9 * HOURS)
    assert fill().skipped == 2
    settings.APP_METRICS_MODELS = rules()
    assert (fill().events, again().events) == (0, 2)
    assert differences() == []


def test_beginning_again_takes_up_rows_that_sent_no_signal(orders):
    before(NOON - 30 * HOURS)
    live(NOON - 20 * HOURS, NOON)
    fill()
    before(NOON - 20 * HOURS, NOON - 10 * HOURS, NOON - 30 * HOURS)
    done = again()
    assert (done.events, done.is_finished, Backfill.objects.get().events) == (3, True, 4)
    assert differences() == []


def test_without_live_events_later_runs_continue_after_beginning_again(orders):
    before(NOON - 30 * HOURS)
    done = again()
    assert (done.events, done.is_finished, done.again_at) == (1, False, None)
    before(NOON + HOURS)
    live(NOON + 2 * HOURS)
    done = fill(NOON + 4 * HOURS)
    assert (done.events, done.is_finished, done.until) == (1, True, NOON + 3 * HOURS)


def test_beginning_again_without_rows_or_with_rows_to_come_changes_nothing(orders):
    assert again().until is None
    before(NOON + timedelta(days=3))
    assert (again().events, stored()) == (0, {})


def test_rows_that_were_deleted_stay_counted_when_it_begins_again(orders):
    live(NOON - 30 * HOURS, NOON - 20 * HOURS, NOON)
    Order.objects.filter(placed_at=NOON - 30 * HOURS).delete()
    assert again().events == 0
    assert sum(count for count, _ in stored(DAY).values()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("retention", [{"hour": 30, "day": 40}, {"hour": 30, "day": 40, "week": 40, "month": 40}])
def test_beginning_again_leaves_days_alone_that_were_deleted(retention, orders, settings):
    for at in [NOON - number * timedelta(days=1) for number in range(500)]:
        live(at)
    with freeze_time(NOON):
        Order.objects.create(placed_at=NOON - timedelta(days=999))
    aggregate()
    settings.APP_METRICS_RETENTION = retention
    with freeze_time(NOON):
        call_command("metrics_prune", verbosity=0)
    with freeze_time(NOON):
        Order.objects.create(placed_at=NOON - timedelta(days=999))
    settings.APP_METRICS_RETENTION = {}
    before(NOON - timedelta(days=9))
    done = again()
    longest = sum(count for count, _ in stored("year").values())
    assert longest == 502 + done.events
    # If months are pruned too, the whole year stays as it is.
    assert done.events == (0 if "month" in retention else 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_filling_again_is_exact_after_any_number_of_crashes(seed, orders, monkeypatch):
    chance = random.Random(seed)
    monkeypatch.setattr(source_tables, "CHUNK_ROWS", 5)
    moments = [NOON - chance.random() * timedelta(days=20) for _ in range(60)]
    for at in moments:
        (before if chance.random() < 0.5 else live)(at)
    for number in range(1, 200):
        with crash_at(orders, number) as seen:
            (again if chance.random() < 0.3 else fill)(NOON + 2 * HOURS)
        if len(seen) < number:
            break
    again(NOON + 2 * HOURS)
    assert stored() == expected([(at, Decimal(1)) for at in moments])


@pytest.mark.slow
def test_runs_that_begin_again_at_once_add_everything_once(orders, monkeypatch):
    monkeypatch.setattr(source_tables, "CHUNK_ROWS", 3)
    moments = [NOON - number * timedelta(hours=7) for number in range(60)]
    before(*moments)
    live(*(at + timedelta(minutes=1) for at in moments[::4]))
    barrier, failures = threading.Barrier(3), []

    def run(begins_again):
        try:
            barrier.wait()
            backfill(configured_source("orders"), again=begins_again)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    with freeze_time(NOON + 5 * HOURS):
        threads = [threading.Thread(target=run, args=[begins_again]) for begins_again in (True, True, False)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert again(NOON + 5 * HOURS).events == 0
    everything = [*moments, *(at + timedelta(minutes=1) for at in moments[::4])]
    assert stored() == expected([(at, Decimal(1)) for at in everything])


def test_a_path_that_ends_in_a_change_of_a_related_row_is_never_followed(orders, settings):
    settings.APP_METRICS_MODELS = rules({"labels": {"tags": "document.tags.clear"}})
    document = Document.objects.create(title="a")
    document.tags.add(Tag.objects.create(name="x"))
    before(NOON - HOURS, document=document)
    live(NOON, document=document)
    fill(NOON + 2 * HOURS)
    assert document.tags.count() == 1
    assert {labels for labels, *_ in stored()} == {'{"tags":""}'}


def test_days_are_those_of_the_metrics_time_zone(orders, settings):
    settings.APP_METRICS_TIME_ZONE = "Pacific/Auckland"
    before(datetime(2026, 6, 30, 13, tzinfo=UTC))
    fill()
    assert stored(DAY) == {("{}", DAY, date(2026, 7, 1), 0): (1, 1)}
    assert differences() == []


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize(
    ("zone", "noon"),
    [
        ("America/St_Johns", datetime(2006, 10, 28, 12, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2011, 12, 29, 12, tzinfo=UTC)),
    ],
)
def test_every_row_is_in_one_chunk_over_repeated_and_skipped_days(zone, noon, use_tz, orders, settings, monkeypatch):
    monkeypatch.setattr(source_tables, "CHUNK_DAYS", 1)
    settings.USE_TZ, settings.TIME_ZONE = use_tz, zone
    aware = [noon + number * timedelta(minutes=10) for number in range(500)]
    before(*(aware if use_tz else (at.replace(tzinfo=None) for at in aware)))
    done = fill(noon + timedelta(days=5))
    sums = [sum(count for count, _ in stored(period).values()) for period in PERIODS]
    assert (done.events, sums, differences(noon + timedelta(days=5))) == (500, [500] * 5, [])


@pytest.mark.parametrize("kind", ["gauge", "timer"])
def test_gauges_and_timers_cannot_be_filled(kind, orders):
    Metric.objects.create(slug="orders", name="Orders", kind=kind)
    before(NOON - HOURS)
    with pytest.raises(UnusableSource, match=f"'orders' is a {kind}"):
        fill()


def test_nothing_is_filled_while_recording_is_disabled(orders, settings):
    before(NOON - HOURS)
    settings.APP_METRICS_DISABLED = True
    with pytest.raises(UnusableSource, match="APP_METRICS_DISABLED"):
        fill()
    assert not Backfill.objects.exists()


def test_filling_an_empty_table_does_not_end_the_history(orders):
    assert fill().until is None
    before(NOON - HOURS)
    assert fill(NOON + HOURS).events == 1


def test_a_deleted_metric_is_filled_again(orders):
    before(NOON - HOURS)
    fill()
    Metric.objects.get(slug="orders").delete()
    assert fill(NOON + HOURS).events == 1


def test_filling_announces_no_milestones_and_live_counting_announces_the_next(orders, settings):
    settings.APP_METRICS_MILESTONES = {"orders": {"every": 10}}
    live(*[NOON + timedelta(minutes=1)] * 5)
    aggregate()
    before(*[NOON - 20 * HOURS] * 100)
    fill(NOON + 2 * HOURS)
    aggregate()
    assert not Milestone.objects.exists()
    assert HighWaterMark.objects.get().total == 105
    live(*[NOON + 3 * HOURS] * 5)
    aggregate()
    assert [each.value for each in Milestone.objects.all()] == [110]


def test_filling_before_the_first_aggregation_sets_the_mark(orders, settings):
    settings.APP_METRICS_MILESTONES = {"orders": [5]}
    before(*[NOON - 20 * HOURS] * 10)
    fill()
    assert HighWaterMark.objects.get().total == 10


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "No rule with the key 'backfill' counts 'orders'. Add one, or give --model and --field. "),
        (rules() | {"auth.User": {"created": "orders"}}, "lacks the key 'backfill'"),
        (
            {"testapp.Order": {"created": rules()["testapp.Order"]["created"], "deleted": "orders"}},
            "APP_METRICS_MODELS['testapp.Order']['deleted'] also counts 'orders'",
        ),
    ],
)
def test_a_metric_that_rows_cannot_reproduce_is_refused(models, message, settings):
    settings.APP_METRICS_MODELS = models
    with pytest.raises(UnusableSource) as raised:
        configured_source("orders")
    assert message in str(raised.value)


def test_a_source_can_be_given_without_a_rule(transactional_database):
    before(NOON - HOURS, amount=5)
    source = given_source("sales", "testapp.Order", "placed_at", "amount")
    assert fill(NOON + HOURS, source).events == 1
    assert Metric.objects.get(slug="sales").total("day", NOON.date()) == 5
    assert differences(NOON + HOURS, source) == []


CUSTOMERS = [f"c{number}" for number in range(30)]


@pytest.fixture
def customers(transactional_database):
    """Rows of 30 customers on several days, and the source that counts each customer once."""
    chance = random.Random(4)
    for place in range(90):
        before(NOON - chance.randrange(1, 500) * HOURS, plan=CUSTOMERS[place % 30])
    return given_source("customers", "testapp.Order", "placed_at", unique="plan")


def seen(period, day):
    found = Metric.objects.get(slug="customers").summary(period, day)
    return (found.uniques.count, found.count) if found else (0, 0)


def test_a_unique_count_is_filled_with_the_different_values_of_each_period(customers):
    assert fill(NOON, customers).events == 90
    for period in (DAY, "week", "month", "year"):
        for day in {order.placed_at.astimezone(BERLIN).date() for order in Order.objects.all()}:
            start = Period(period).start_of(day)
            rows = [
                order.plan
                for order in Order.objects.all()
                if Period(period).start_of(order.placed_at.astimezone(BERLIN).date()) == start
            ]
            assert seen(period, day) == (len(set(rows)), len(rows)), (period, day)
    assert Metric.objects.get(slug="customers").kind == "unique"
    assert differences(NOON, customers) == []


def test_filling_a_unique_count_again_changes_nothing_and_adds_what_was_missing(customers):
    fill(NOON, customers)
    before_that = list(Total.objects.order_by("pk").values_list("count", "uniques"))
    with freeze_time(NOON):
        assert backfill(customers, again=True).events == 0
        assert list(Total.objects.order_by("pk").values_list("count", "uniques")) == before_that
        Order.objects.bulk_create([Order(placed_at=NOON - 3 * HOURS, plan=plan) for plan in ("new", "c1")])
        assert backfill(customers, again=True).events == 2
    assert seen("year", NOON.date()) == (len(CUSTOMERS) + 1, 92)


UNIQUE_RULE = {"slug": "customers", "unique": "plan", "backfill": "placed_at"}


def test_a_rule_with_a_unique_count_fills_in_the_past(customers, settings):
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": UNIQUE_RULE}}
    source = configured_source("customers")
    assert fill(NOON, source).events == 90
    assert differences(NOON, source) == []
    assert Metric.objects.get(slug="customers").total("year", NOON.date()) > 0


def test_rules_that_record_one_metric_as_two_kinds_fill_in_nothing(customers, settings):
    counting = {"slug": "customers", "backfill": "placed_at"}
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": [counting, UNIQUE_RULE]}}
    with pytest.raises(UnusableSource, match="as the kinds counter and unique"):
        configured_source("customers")
    assert sources_of(compile_models(settings.APP_METRICS_MODELS)[0]) == []


def test_who_was_counted_live_and_is_filled_in_counts_once(customers):
    with freeze_time(NOON):
        unique("customers", "c1")
        unique("customers", "live")
    fill(NOON + 2 * HOURS, customers)
    assert seen("year", NOON.date()) == (len(CUSTOMERS) + 1, 92)


def test_rows_that_stand_for_nobody_do_not_count(transactional_database):
    document = Document.objects.create()
    before(NOON - HOURS, NOON - 2 * HOURS)
    before(NOON - 3 * HOURS, NOON - 4 * HOURS, document=document)
    source = given_source("customers", "testapp.Order", "placed_at", unique="document_id")
    assert fill(NOON, source).events == 2
    assert seen("year", NOON.date()) == (1, 2)


@pytest.mark.parametrize(("kind", "is_unique"), [("counter", True), ("unique", False), ("gauge", True)])
def test_a_metric_of_another_kind_is_not_filled(kind, is_unique, transactional_database):
    Metric.objects.create(slug="customers", name="customers", kind=kind)
    before(NOON - HOURS)
    with pytest.raises(UnusableSource, match="customers"):
        fill(NOON, given_source("customers", "testapp.Order", "placed_at", unique="plan" if is_unique else None))
    assert not Total.objects.exists()


def test_verifying_sees_that_somebody_else_was_counted(customers):
    fill(NOON, customers)
    last = Order.objects.order_by("placed_at").last()
    Order.objects.filter(pk=last.pk).update(plan="somebody else")
    (found,) = differences(NOON, customers)
    assert found[0] == last.placed_at.astimezone(BERLIN).date()
    assert found[2] == found[3]


def test_verifying_sees_rows_of_another_day_and_label_set_and_amount(orders, settings):
    settings.APP_METRICS_MODELS = rules({"num": "amount", "labels": {"plan": "plan"}})
    live(NOON - 72 * HOURS, NOON - 48 * HOURS, NOON - 24 * HOURS)
    first, second, third = Order.objects.order_by("placed_at")
    Order.objects.filter(pk=first.pk).update(placed_at=NOON - 96 * HOURS)
    Order.objects.filter(pk=second.pk).update(plan="pro")
    Order.objects.filter(pk=third.pk).update(amount=2)
    free, pro = '{"plan":"free"}', '{"plan":"pro"}'
    assert differences() == [
        (date(2026, 11, 19), free, 1, 0),
        (date(2026, 11, 20), free, 0, 1),
        (date(2026, 11, 21), free, 0, 1),
        (date(2026, 11, 21), pro, 1, 0),
        (date(2026, 11, 22), free, 1, 1),
    ]


def test_verifying_ignores_the_most_recent_events(orders):
    live(NOON - HOURS)
    before(NOON + timedelta(minutes=1))
    assert differences(NOON + timedelta(minutes=69)) == []
    assert differences(NOON + timedelta(minutes=70)) == [(NOON.date(), "{}", 2, 1)]


def test_reading_is_bounded_by_the_size_of_chunks(orders, monkeypatch):
    monkeypatch.setattr(source_tables, "CHUNK_ROWS", 10)
    before(*(NOON - number * timedelta(hours=5) for number in range(100)))
    sizes = []
    with freeze_time(NOON):
        source = configured_source("orders")
        list(verify(source, on_progress=sizes.append))
        backfill(source, on_progress=sizes.append)
    assert sum(sizes) == 2 * 100
    assert max(sizes) <= 10


def test_a_pending_gauge_of_the_same_name_is_not_filled(orders):
    before(NOON - HOURS)
    with freeze_time(NOON):
        gauge("orders", 5)
    aggregate()
    with pytest.raises(UnusableSource, match="is a gauge"):
        fill(NOON + 2 * HOURS)
    assert not Item.objects.exists()


def test_metric_by_hand_before_live_counting_ends_the_history(orders):
    before(NOON - 9 * HOURS, NOON - 5 * HOURS, NOON - HOURS)
    with freeze_time(NOON):
        metric("orders", at=NOON - 5 * HOURS - timedelta(minutes=1))
    assert fill(NOON + HOURS).until == NOON - 5 * HOURS


def test_after_a_run_with_the_clock_a_year_ahead_later_rows_are_filled_in(orders):
    before(NOON - 4 * HOURS)
    fill(NOON + timedelta(days=365))
    before(NOON + HOURS)
    with freeze_time(NOON + 3 * HOURS):
        assert remaining(configured_source("orders")) == 2
    first, second = fill(NOON + 3 * HOURS), fill(NOON + 4 * HOURS)
    live(NOON + 6 * HOURS)
    last = fill(NOON + 8 * HOURS)
    said = [(each.ahead is not None, each.events) for each in (first, second, last)]
    assert said == [(True, 1), (False, 0), (False, 0)]
    assert last.is_finished
    assert sum(count for count, _ in stored(DAY).values()) == 3
