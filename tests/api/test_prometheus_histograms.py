"""Timers and distributions as classic histograms of Prometheus, from which it reads the same percentiles as we do."""

import math
import random
import re
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise

import pytest
from django.core.management import call_command
from django.db import connections
from django.template import Context, Template
from django.test.utils import CaptureQueriesContext
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app_metrics import collect, distribution, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.api.classic_buckets import EXPOSED
from app_metrics.api.prometheus import NO_BUCKETS, OPENMETRICS, latest
from app_metrics.models import Metric, Total
from app_metrics.recording.metrics import record
from tests.support.paths import ROOT

PARSERS = {"": parse_text, OPENMETRICS: parse_openmetrics}
# The square root of two as the largest float below it.
SQUARE_ROOT = 1.4142135623730950
TIMER_BOUNDS = [2.0**power * root for power in range(-10, 12) for root in (1, SQUARE_ROOT)] + [4096.0]


def families(accept=""):
    return {family.name: family for family in PARSERS[accept](latest(accept)[0].decode())}


def buckets(family, labels=()):
    """Return the counts of the family's buckets with some labels by their bounds."""
    return {
        float(each.labels["le"]): each.value
        for each in family.samples
        if each.name == f"{family.name}_bucket"
        and {name: value for name, value in each.labels.items() if name != "le"} == dict(labels)
    }


def sample(family, suffix):
    return {tuple(each.labels.items()): each.value for each in family.samples if each.name == family.name + suffix}


def durations(count):
    """Return random durations, some of which are bounds of buckets."""
    chance = random.Random(count)
    numbers = [Decimal(f"{chance.lognormvariate(-1, 2):.9f}") for _ in range(count)]
    return [*numbers, Decimal("0.001953125"), Decimal("0.5"), 1, 4096, 5000, Decimal("1E-9"), 0]


@pytest.mark.every_database
@pytest.mark.parametrize("accept", PARSERS, ids=["text", "openmetrics"])
def test_buckets_of_a_timer_count_exactly_the_numbers_up_to_their_bounds(accept, database):
    numbers = durations(200)
    for place, number in enumerate(numbers):
        record("export", "timer", number, {"format": "ab"[place % 2]})
        if place == 150:
            aggregate()
    export = families(accept)["export_seconds"]
    assert export.type == "histogram"
    for place, name in enumerate("ab"):
        found, of_name = buckets(export, {"format": name}), numbers[place::2]
        assert list(found) == [*TIMER_BOUNDS, math.inf]
        assert found == {bound: sum(float(number) <= bound for number in of_name) for bound in found}
        assert sample(export, "_count")[("format", name),] == len(of_name)
        assert sample(export, "_sum")[("format", name),] == pytest.approx(float(sum(of_name)))


def test_buckets_of_a_distribution_are_powers_of_two(database):
    for number in (0, Decimal("0.001"), 1, 3, 4, 2**40, 10**15):
        distribution("order_value", number)
    found = buckets(families()["order_value"])
    assert list(found) == [*(2.0**power for power in range(-10, 41)), math.inf]
    assert [found[bound] for bound in (2**-10, 0.5, 1, 2, 4, 2**39, 2**40, math.inf)] == [1, 2, 3, 3, 5, 5, 6, 7]


@pytest.mark.parametrize("kind", EXPOSED)
def test_the_documentation_says_how_many_bounds_and_series_a_label_set_has(kind):
    bounds = len(EXPOSED[kind])
    (row,) = re.findall(rf"^\| {kind} \| (\d+): .* \| (\d+) \|$", (ROOT / "docs/howto/api.md").read_text(), re.M)
    assert row == (str(bounds), str(bounds + len(["+Inf", "_count", "_sum"])))


@pytest.mark.every_database
def test_histograms_are_read_with_everything_else_in_one_statement(database):
    def record_all():
        with collect():
            metric("orders", 2)
            gauge("queue", 3)
            for seconds in (1, 2, 4):
                record("export", "timer", seconds)
            record("import", "timer", 8)

    record_all()
    aggregate()
    record_all()
    record_all()
    with CaptureQueriesContext(connections[database]) as queries:
        found = families()
    assert sum("app_metrics_item" in each["sql"] or "app_metrics_total" in each["sql"] for each in queries) == 1
    assert [buckets(found["export_seconds"])[bound] for bound in (0.5, 1, 2, 4)] == [0, 3, 6, 9]
    assert buckets(found["import_seconds"])[8] == 3
    assert [sample(found["orders"], "_total"), sample(found["queue"], "")] == [{(): 6}, {(): 3}]


def test_all_label_sets_of_a_timer_are_a_summary_if_one_lacks_numbers_in_its_histogram(database):
    record("export", "timer", 1, {"format": "csv"})
    aggregate()
    Total.objects.update(histogram=None)  # as before histograms were kept
    record("export", "timer", 2, {"format": "csv"})
    record("export", "timer", 4, {"format": "pdf"})
    export = families(OPENMETRICS)["export_seconds"]
    assert (export.type, export.documentation) == ("summary", f"export ({NO_BUCKETS})")
    assert sample(export, "_count") == {(("format", "csv"),): 2, (("format", "pdf"),): 1}
    assert sample(export, "_sum") == {(("format", "csv"),): 3, (("format", "pdf"),): 4}
    assert not buckets(export, {"format": "pdf"})


def test_a_number_that_was_recorded_as_a_counter_is_in_no_bucket(database):
    record("export", "timer", 1)
    metric("export")
    aggregate()
    assert families()["export_seconds"].type == "summary"


def histogram_quantile(share, found):
    """Return what Prometheus' function of this name does: https://prometheus.io/docs/prometheus/latest/querying/functions/"""
    rank = share * found[math.inf]
    for (lower, before), (upper, reached) in pairwise([(0.0, 0.0), *sorted(found.items())]):
        if reached >= rank:
            return lower if upper == math.inf else lower + (upper - lower) * (rank - before) / (reached - before)
    return math.nan


def same_bucket(found, one, other):
    """Return whether two numbers are in one of these buckets."""
    return len({sum(bound < number for bound in found) for number in (float(one), float(other))}) == 1


NUMBERS = {
    "lognormal": lambda chance: chance.lognormvariate(-1, 1),
    "bimodal": lambda chance: chance.gauss(0.05, 0.005) if chance.random() < 0.9 else chance.gauss(3, 0.2),
    "constant": lambda chance: 0.25,
    "heavy": lambda chance: min(0.01 * chance.paretovariate(0.8), 4000),
}


@pytest.mark.parametrize("shape", NUMBERS)
def test_histogram_quantile_agrees_with_our_percentiles_within_the_bucket(shape, database):
    chance = random.Random(shape)
    for _ in range(300):
        record("export", "timer", Decimal(f"{NUMBERS[shape](chance):.6f}"))
    aggregate()
    found, export = buckets(families()["export_seconds"]), Metric.objects.get(slug="export")
    for percent in (50, 75, 90, 95, 99):
        ours = export.percentile("year", percent)
        assert same_bucket(found, histogram_quantile(percent / 100, found), ours), percent


@pytest.mark.urls("tests.support.api_urls")
def test_every_reader_has_the_same_95th_percentile(database, client, settings, capsys):
    settings.APP_METRICS_API_TOKENS = [sha256(b"secret").hexdigest()]
    chance = random.Random(95)
    for place in range(250):
        distribution("price", Decimal(f"{chance.lognormvariate(3, 1):.2f}"))
        if place == 200:
            aggregate()
    ours = Metric.objects.get(slug="price").percentile("year", 95)

    url = "/stats/api/metrics/price/totals/?period=year"
    answer = client.get(url, headers={"authorization": "Bearer secret"}).json()
    call_command("metrics_show", "price", "--period=year", "--last=1")
    _, head, row, *_ = capsys.readouterr().out.splitlines()
    columns = dict(zip(["year", *head.split()], row.split(), strict=True))
    tag = Template('{% load app_metrics %}{% metric_percentile "price" 95 period="year" %}').render(Context())
    assert answer["summary"]["percentiles"]["p95"] == str(ours)
    assert columns["p95"] == tag == f"{ours:.2f}"  # as people read it

    found = buckets(families()["price"])
    assert same_bucket(found, histogram_quantile(0.95, found), ours)
