"""The database stores text and numbers exactly as recorded, and each total once."""

import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connections
from django.db.migrations.loader import MigrationLoader
from freezegun import freeze_time

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.labels import OVERFLOW_LABELS, decode_labels
from app_metrics.core.numbers import LARGEST, plain
from app_metrics.core.summary import Summary, headline, single
from app_metrics.models import Alert, Item, Metric, Milestone, Total
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.models.fields import EXACT_COLLATIONS
from app_metrics.models.queries import point_headline
from app_metrics.notifications.alerts import check_alerts
from app_metrics.recording.metrics import record
from app_metrics.reports.content import build_report
from app_metrics.testing.recorded import capture_metrics
from app_metrics.trending import trending_for_metric, trends
from tests.conftest import every_database
from tests.support.scope import full_length

pytestmark = pytest.mark.every_database

SLUGS = ["login", "Login", "LOGIN", "log-in", "log_in", "login-"]
# Texts that one collation or another treats as equal.
TEXTS = [
    "login", "Login", "LOGIN", "lögin", "LÖGIN", "lo\u0308gin", "login ", " login", "login  ", "login\t", "log\u200bin",
    "login\u200b", "log\u00adin", "ｌｏｇｉｎ", "logın", "", " ", "ß", "ss", "\N{GRINNING FACE}", "\N{CRYING FACE}",
]  # fmt: skip
MYSQLS = [parameters for parameters in every_database() if parameters.id in ("mariadb", "mysql")]


def day_totals():
    """Return the total and count of each day total by slug and label set."""
    rows = Total.objects.filter(period="day").values_list("metric__slug", "labels", "total", "count")
    return {(slug, labels): (total, count) for slug, labels, total, count in rows}


def test_slugs_that_differ_in_case_are_different_metrics(database):
    for _ in range(2):
        with collect():
            for number, slug in enumerate(SLUGS):
                metric(slug, 10**number)
        aggregate()
    assert day_totals() == {(slug, "{}"): (2 * 10**number, 2) for number, slug in enumerate(SLUGS)}
    assert [Metric.objects.get(slug=slug).total("day") for slug in SLUGS] == [2 * 10**n for n in range(len(SLUGS))]


def test_slugs_that_differ_in_case_are_created_apart(database):
    assert len({create_metric("Name", slug).pk for slug in SLUGS}) == len(SLUGS)
    assert not Metric.objects.filter(slug__in=["LogIn", "lögin", "login ", " login"]).exists()


def test_labels_that_differ_in_case_accents_or_spaces_stay_apart(database):
    found = create_metric("x", "x")
    for is_aggregated in (True, False):
        with collect():
            for number, text in enumerate(TEXTS):
                metric("x", number, labels={"value": text})
                metric("x", 1000 + number, labels={text: "key"})
        if is_aggregated:
            aggregate()
    assert [found.total("day", labels={"value": text}) for text in TEXTS] == [2 * n for n in range(len(TEXTS))]
    assert [found.total("day", labels={text: "key"}) for text in TEXTS] == [2 * (1000 + n) for n in range(len(TEXTS))]
    assert len(day_totals()) == 2 * len(TEXTS)


@pytest.mark.parametrize("how", ["one scope", "many items", "many aggregations"])
def test_ten_times_a_tenth_is_exactly_one(database, how):
    if how == "one scope":
        with collect():
            for _ in range(10):
                gauge("x", 0.1)
        aggregate()
    for _ in range(10 if how != "one scope" else 0):
        metric("x", Decimal("0.1"))
        if how == "many aggregations":
            aggregate()
    aggregate()
    total = Total.objects.get(period="year")
    assert (total.total, total.minimum, total.maximum, total.last) == (1, *[Decimal("0.1")] * 3)


@freeze_time("2026-06-17 12:30")
def test_numbers_that_are_read_have_no_trailing_zeros_and_no_exponent(database, settings):
    settings.APP_METRICS_MILESTONES = {"orders": [100]}
    settings.APP_METRICS_ALERTS = {
        slug: {"metric": slug, "period": "hour", "change": -1} for slug in ("orders", "queue", "export")
    }
    hour = datetime.now(UTC) - timedelta(hours=1)
    aggregate()
    with collect():
        for at in (hour, hour - timedelta(weeks=1), hour - timedelta(weeks=2)):
            for number in ("100.25", "1.75"):
                metric("orders", Decimal(number), labels={"number": number}, at=at)
            gauge("queue", Decimal("0.000"), at=at)
            record("export", "timer", 1.5, at=at)
            record("export", "timer", 2.5, at=at)
    aggregate()
    check_alerts()
    for slug, expected in {"orders": "102", "queue": "0", "export": "2"}.items():
        read = Metric.objects.with_total("year").get(slug=slug)
        (point,) = (each for each in read.series("hour", hour, hour) if each.count)
        numbers = [point_headline(read.kind, point), headline(read.kind, read.summary("hour", hour))]
        assert [str(number) for number in numbers] == [expected] * 2
        for found in (*point, *trends_in(trends([read])[slug]), *Total.objects.values_list("total", "minimum", "last")):
            assert_plain(found)
        assert_plain((read.period_total, read.total("year"), trending_for_metric(read)))
    report = build_report(create_metric_set("Mine", Metric.objects.all()), "week")
    for line in report.lines:
        assert_plain((line.summary, line.number, line.picture, line.best, line.shares))
    alerts, milestones = Alert.objects.values_list("value", "base"), Milestone.objects.values_list("value", "total")
    assert {(str(value), str(base)) for value, base in alerts} == {("102", "102"), ("0", "0"), ("2", "2")}
    assert [(str(value), str(total)) for value, total in milestones] == [("100", "306")]


def trends_in(found):
    return [
        (each.summary, comparison.now, comparison.then, comparison.current, comparison.base)
        for each in (*found.closed.values(), *found.so_far.values())
        for comparison in each.comparisons.values()
    ]


def assert_plain(found):
    """Assert that all decimals within nested values are written as people write them."""
    if isinstance(found, dict):
        found = tuple(found.values())
    if isinstance(found, (tuple, list)):
        for each in found:
            assert_plain(each)
    elif isinstance(found, Decimal):
        assert str(found) == plain(found)


def test_a_sum_beyond_fifteen_digits_is_exact(database):
    largest, smallest = LARGEST - Decimal("0.000000001"), Decimal("0.000000001")
    for number in (largest, largest, smallest):
        metric("x", number)
        aggregate()
    found = Metric.objects.get()
    metric("x", largest)
    expected = 3 * largest + smallest
    assert found.total("day") == expected == Decimal("2999999999999999999.999999998")
    total = Total.objects.get(period="month")
    assert (total.total, total.minimum, total.maximum, total.last) == (
        2 * largest + smallest,
        smallest,
        largest,
        smallest,
    )


def test_numbers_of_38_digits_are_stored_and_added_exactly(database):
    widest, lowest = Decimal("9" * 29 + "." + "9" * 9), Decimal("-" + "9" * 29 + "." + "9" * 9)
    found = create_metric("x", "x")
    place = {"metric": found, "period": "day", "start": date(2026, 1, 1), "hour": 0, "labels": "{}"}
    numbers = {"total": lowest, "minimum": lowest, "maximum": widest, "last": widest}
    Total.objects.create(**place, count=2**62, last_at=-1, **numbers)
    assert Total.objects.values(*numbers).get() == numbers
    for _ in range(2):
        metric("x", Decimal("0.000000001"), at=datetime(2026, 1, 1, 12, tzinfo=UTC))
        aggregate()
    total = Total.objects.get(period="day")
    assert total.total == Decimal("-" + "9" * 29 + "." + "9" * 8 + "7")
    assert (total.count, total.minimum, total.maximum) == (2**62 + 2, lowest, widest)


def test_minimum_maximum_and_last_compare_as_numbers(database):
    for number in (9, 10, -9, -10, Decimal("9.5")):
        gauge("x", number)
        aggregate()
    total = Total.objects.get(period="day")
    assert (total.minimum, total.maximum, total.last, total.count) == (-10, 10, Decimal("9.5"), 5)


def test_the_last_value_does_not_depend_on_the_order_of_aggregation(database):
    for hour in (9, 11, 10):
        gauge("x", hour, at=datetime(2026, 6, 1, hour, tzinfo=UTC))
        aggregate()
    assert Total.objects.get(period="year").last == 11


@pytest.mark.parametrize("differing", ["metric", "period", "start", "hour", "labels"])
def test_a_total_is_unique_in_metric_period_start_hour_and_labels(database, differing):
    numbers = Summary(*single(1, at=0))._asdict()
    place = {"metric": create_metric("x"), "period": "day", "start": date(2026, 1, 1), "hour": 0, "labels": "{}"}
    other = {"metric": create_metric("y"), "period": "year", "start": date(2026, 1, 2), "hour": 1, "labels": '{"a":""}'}
    Total.objects.create(**place, **numbers)
    Total.objects.create(**{**place, differing: other[differing]}, **numbers)
    with pytest.raises(IntegrityError):
        Total.objects.create(**place, **numbers)


def test_deleting_a_metric_deletes_its_totals(database):
    metric("x")
    aggregate()
    Metric.objects.get().delete()
    assert not Total.objects.exists()


@pytest.mark.parametrize("database", MYSQLS, indirect=True)
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("app_metrics_item", "slug"),
        ("app_metrics_item", "labels"),
        ("app_metrics_metric", "slug"),
        ("app_metrics_total", "labels"),
    ],
)
def test_the_migration_gives_an_exact_collation_in_a_database_that_ignores_case(database, table, column):
    connection = connections[database]
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@collation_database")
        assert "_ci" in cursor.fetchone()[0]
        cursor.execute(
            "SELECT collation_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
            [table, column],
        )
        assert cursor.fetchone() == (EXACT_COLLATIONS[connection.display_name],)


# Label sets past the cap


@pytest.mark.slow
def test_memory_stays_flat_under_a_million_distinct_label_values():
    number, step = 1_000_000 if full_length else 100_000, 25_000
    moment = datetime(2026, 5, 31, 10, tzinfo=UTC)  # one hour, so the overflow is one summary
    blocks = []
    with capture_metrics() as recording, collect():
        for value in range(number):
            metric("x", labels={"visitor": str(value)}, at=moment)
            if value % step == step - 1:
                blocks.append(sys.getallocatedblocks())
    # An object kept for each value would add a block per value; the cache of label sets is bounded.
    assert max(blocks) < blocks[0] + step
    assert recording.count("x") == recording.total("x") == number
    assert [len(batch.summaries) for batch in recording.batches] == [1000 + 1]
    assert recording.total("x", {"overflow": "true"}) == number - 1000


def test_label_sets_past_the_cap_fold_into_one_series_across_batches_and_runs(database, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 5
    for first in range(0, 40, 10):
        for batch in range(first, first + 10, 5):
            with collect():
                for number in range(batch, batch + 5):
                    metric("x", labels={"visitor": str(number)})
        metric("x", 100)
        aggregate(chunk_size=3)
    totals = day_totals()
    assert len(totals) == 5 + 1 + 1
    assert totals["x", OVERFLOW_LABELS] == (35, 35)
    assert totals["x", "{}"] == (400, 4)
    assert Metric.objects.get().total("day") == 440
    known = next(labels for _, labels in totals if "visitor" in labels)
    metric("x", labels=decode_labels(known))
    aggregate()
    assert day_totals()["x", known] == (2, 2)


def test_a_batch_of_a_thousand_label_sets_is_one_statement(database, django_assert_num_queries, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 999
    with django_assert_num_queries(3, connection=connections[database]), collect():  # with its savepoint
        for number in range(2000):
            metric("x", labels={"visitor": str(number)})
    assert Item.objects.count() == 1000
    assert sum(Item.objects.values_list("total", flat=True)) == 2000


def test_the_migrations_of_the_app_have_no_conflicts():
    assert MigrationLoader(None).detect_conflicts() == {}
