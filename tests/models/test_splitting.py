"""Filtered and split readings, compared with the recorded events."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import distribution, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, Key
from app_metrics.core.labels import encode_labels
from app_metrics.core.periods import DAY
from app_metrics.core.summary import merge_all, percentile, plain_summary
from app_metrics.models import Metric
from app_metrics.models.creation import create_metric
from app_metrics.models.pending import PendingBatches
from app_metrics.models.percentiles import PERCENTS
from app_metrics.models.queries import QuerySources
from app_metrics.models.splitting import measured_split, split
from tests.support.summaries import measured, summary_of

pytestmark = pytest.mark.every_database

NOON = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Berlin"))
DAYS = [date(2026, 11, 22), date(2026, 11, 23)]
SPANS = {day: [(DAY, day, 0)] for day in DAYS}
# Names and values in which a text of a label can begin or end at another place than it seems.
NAMES = ["plan", "plans", "Plan", "country", "", '"', 'x"plan', "a,", ",x", ":", "}", "%", "ÄÖ", "\\", "😀"]
VALUES = ["pro", "Pro", "pro ", "", "%", "_", "'", '"', ",", ":", '":"', '"plan":"pro"', "\\", "ÄÖ", "ä", "😀", "true"]


@pytest.fixture(autouse=True)
def noon():
    with freeze_time(NOON):
        yield


def some_labels(randomly):
    return {randomly.choice(NAMES): randomly.choice(VALUES) for _ in range(randomly.randint(0, 3))}


def some_events(randomly, label_sets, count):
    """Return the day, the labels and the number of events in the order of their times."""
    seconds = sorted(randomly.sample(range(36 * 3600), count), reverse=True)
    return [(NOON - timedelta(seconds=each), randomly.choice(label_sets), randomly.randint(1, 99)) for each in seconds]


def summaries(events):
    """Return the summaries of each day."""
    found = {day: [summary_of(number, at=us(at)) for at, _, number in events if at.date() == day] for day in DAYS}
    return {day: plain_summary(merge_all(each)) for day, each in found.items() if each}


def us(at):
    return int(at.timestamp()) * 1_000_000


def fits(labels, where):
    return all(name in labels and labels[name] == value for name, value in where.items())


def by_value(events, label, where):
    groups = defaultdict(list)
    for event in events:
        if fits(event[1], where):
            groups[event[1].get(label) if label is not None else None].append(event)
    return {value: summaries(each) for value, each in groups.items()}


def without_empty(groups):
    return {value: found for value, found in groups.items() if found}


def check(events, beyond, label, where):
    found = split(QuerySources.of_slug("orders"), SPANS, label, where)
    assert without_empty(found.groups) == by_value(events, label, where), (label, where)
    assert found.overflow == summaries(beyond), (label, where)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_any_filter_and_split_holds_what_was_recorded_with_these_labels(database, seed):
    randomly = Random(seed)
    label_sets = [some_labels(randomly) for _ in range(30)]
    # A filter that is found in the text of another label set, across its names and values.
    label_sets += [{"a,": ":", ",x": "c"}, {":": ","}, {"plan": "pro"}, {'x"plan': "pro"}]
    events = some_events(randomly, label_sets, 80)
    for place, (at, labels, number) in enumerate(events):
        metric("orders", number, labels=labels, at=at)
        if place == 50:
            aggregate()
    orders = Metric.objects.get(slug="orders")
    filters = [{"plan": "pro"}, {":": ","}, {}, *(some_labels(randomly) for _ in range(3))]
    filters += [dict(list(randomly.choice(label_sets).items())[: randomly.randint(1, 3)]) for _ in range(12)]
    for where in filters:
        check(events, [], randomly.choice([None, *NAMES]), where)
        total = sum(number for _, labels, number in events if fits(labels, where))
        assert orders.total("month", where=where) == orders.total("year", where=where) == total
        assert [each.total for each in orders.series("day", *DAYS, where=where)] == [
            sum(number for at, labels, number in events if at.date() == day and fits(labels, where)) for day in DAYS
        ]


@pytest.mark.parametrize("aggregated", ["nothing", "half", "all"])
def test_the_overflow_series_is_apart_and_in_no_group(database, settings, aggregated):
    settings.APP_METRICS_MAX_LABEL_SETS = 3
    randomly = Random(aggregated)
    label_sets = [{}, *({"plan": plan, "id": str(number)} for plan in ("free", "pro") for number in range(4))]
    events = some_events(randomly, label_sets, 40)
    create_metric("Orders")
    for place, (at, labels, number) in enumerate(events):
        if place == 20 and aggregated == "half":
            aggregate()
        metric("orders", number, labels=labels, at=at)
    if aggregated == "all":
        aggregate()
    seen = list(dict.fromkeys(encode_labels(labels) for _, labels, _ in events if labels))[:3]
    named = [event for event in events if not event[1] or encode_labels(event[1]) in seen]
    beyond = [event for event in events if event not in named]
    assert beyond
    for label in (None, "plan", "id", "overflow"):
        for where in ({}, {"plan": "pro"}, {"overflow": "true"}):
            if label or where:
                check(named, beyond, label, where)
    orders = Metric.objects.get(slug="orders")
    found = orders.split("plan", "day", *DAYS)
    parts = [*found.groups.values(), found.overflow]
    assert [sum(point.total for point in points) for points in zip(*parts, strict=True)] == [
        point.total for point in orders.series("day", *DAYS)
    ] == [point.total for point in found.whole]  # fmt: skip


def test_batches_that_are_pending_elsewhere_are_filtered_and_split_too(database, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 2
    metric("orders", 1, labels={"plan": "pro"}, at=NOON)
    aggregate()
    batches = [
        Batch({Key("orders", "counter", encode_labels(labels), DAYS[1], 12): summary_of(number, at=us(NOON) + number)})
        for labels, number in [({"plan": "pro", "id": "1"}, 10), ({"plan": "pro", "id": "2"}, 100), ({}, 1000)]
    ]
    sources = QuerySources.of_slug("orders")._replace(pending=PendingBatches(batches))
    found = split(sources, SPANS, "id", {"plan": "pro"})
    totals = {value: {day: each.total for day, each in group.items()} for value, group in found.groups.items()}
    assert totals == {None: {DAYS[1]: 1}, "1": {DAYS[1]: 10}}
    assert found.overflow[DAYS[1]].total == 100
    assert split(sources, SPANS, None, {"plan": "pro"}).groups[None][DAYS[1]].total == 11


def test_the_number_of_queries_does_not_depend_on_the_label_sets(database):
    def queries(label, where):
        with CaptureQueriesContext(connections[database]) as captured:
            Metric(pk=pk, slug="orders").split(label, "day", *DAYS, where=where)
        return len(captured)

    metric("orders", labels={"plan": "pro", "country": "fi"}, at=NOON)
    aggregate()
    pk = Metric.objects.get(slug="orders").pk
    metric("orders", labels={"plan": "pro", "country": "se"}, at=NOON)
    counts = [queries(label, where) for label in (None, "country") for where in ({}, {"plan": "pro"})]
    for number in range(20):
        metric("orders", labels={"plan": f"{number}", "country": "no"}, at=NOON)
    assert counts == [queries(label, where) for label in (None, "country") for where in ({}, {"plan": "pro"})]
    assert max(counts) <= 4


def test_groups_have_the_percentiles_of_their_numbers(database):
    numbers = range(1, 31)
    for number in numbers:
        distribution("price", number, labels={"plan": "ab"[number % 2], "id": str(number % 6)}, at=NOON)
        if number == 20:
            aggregate()
    price = Metric.objects.get(slug="price")
    for wanted_id in (None, "2"):
        found = measured_split(price, DAY, DAYS[1], DAYS[1], "plan", wanted_id and {"id": wanted_id})
        for value, points in found.groups.items():
            wanted = [each for each in numbers if "ab"[each % 2] == value and wanted_id in (None, str(each % 6))]
            assert points[0].percentiles == expected(wanted)
    assert price.percentile("day", 95, where={"id": "2"}) == expected([n for n in numbers if n % 6 == 2])[95]


def expected(numbers):
    return {percent: percentile(measured(*numbers), percent) for percent in PERCENTS}


def test_groups_are_listed_by_their_size(database):
    for country, number in (("fi", 5), ("se", 20), ("no", 7)):
        metric("orders", number, labels={"country": country}, at=NOON)
    metric("orders", 6, at=NOON)
    assert list(Metric.objects.get(slug="orders").split("country", "day", *DAYS).groups) == ["se", "no", None, "fi"]


@pytest.mark.only_sqlite
def test_a_label_set_and_a_filter_cannot_be_given_together(database):
    with pytest.raises(ValueError, match="not both"):
        create_metric("Orders").total("day", labels={"plan": "pro"}, where={"plan": "pro"})


@pytest.mark.only_sqlite
@pytest.mark.parametrize("where", [{"plan": 1}, {"plan": "a\0"}, {str(number): "" for number in range(9)}, ["plan"]])
def test_a_filter_that_no_label_set_can_have_is_refused(database, where):
    with pytest.raises((TypeError, ValueError), match="abel"):
        create_metric("Orders").total("day", where=where)
