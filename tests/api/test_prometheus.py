"""All-time totals for Prometheus: correct, stably named, and valid for any names and labels."""

import sys
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app_metrics import collect, gauge, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.api import prometheus
from app_metrics.api.prometheus import label_names, latest, names
from app_metrics.core.labels import encode_labels
from app_metrics.core.periods import YEAR
from app_metrics.core.summary import KINDS, MEASURED
from app_metrics.models import Metric, Total
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record
from tests.support.scope import examples
from tests.support.summaries import measured, summary_of

pytestmark = pytest.mark.urls("tests.support.api_urls")

NOON = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Berlin"))
OPENMETRICS = "application/openmetrics-text"
# The types of families with a sample `_count`.
COUNTED = ("histogram", "summary")
PARSERS = {"": parse_text, OPENMETRICS: parse_openmetrics}
# The Accept headers of Prometheus 2 and 3.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)

both_formats = pytest.mark.parametrize("accept", PARSERS, ids=["text", "openmetrics"])


def scrape(accept=""):
    """Return the text, and the metric families that the format's own parser finds in it."""
    text = latest(accept)[0].decode()
    return text, list(PARSERS[accept](text))


def samples(accept=""):
    found = [(each.name, each.labels, each.value) for family in scrape(accept)[1] for each in family.samples]
    assert len({(name, tuple(sorted(labels.items()))) for name, labels, _ in found}) == len(found)
    return found


def without_buckets(text):
    """Return a text without the buckets of histograms, which test_prometheus_histograms.py tests."""
    return "".join(line for line in text.splitlines(keepends=True) if "_bucket{" not in line)


@pytest.fixture
def get(client, settings):
    settings.APP_METRICS_API_TOKENS = [sha256(b"secret").hexdigest()]

    def read(**headers):
        return client.get("/stats/prometheus/", headers={"authorization": "Bearer secret", **headers})

    return read


def test_prometheus_reads_every_kind_of_metric(database):
    create_metric("Orders paid", "orders", description="What was paid,\nin euros")
    create_metric("Queue", "queue-length", "gauge")
    with freeze_time(NOON):
        with collect():
            metric("orders", Decimal("19.99"), labels={"plan": "pro"}, at=NOON - timedelta(days=400))
            metric("orders", 2)
            gauge("queue-length", 4)
            record("export", "timer", Decimal("0.25"))
        aggregate()
        metric("orders", Decimal("0.01"), labels={"plan": "pro"})
        gauge("queue-length", 17, at=NOON + timedelta(seconds=1))
        record("export", "timer", Decimal("0.5"))
    assert without_buckets(scrape()[0]) == (
        "# HELP orders_total Orders paid: What was paid, in euros\n"
        "# TYPE orders_total counter\n"
        "orders_total 2.0\n"
        'orders_total{plan="pro"} 20.0\n'
        "# HELP queue_length Queue\n"
        "# TYPE queue_length gauge\n"
        "queue_length 17.0\n"
        "# HELP export_seconds export\n"
        "# TYPE export_seconds histogram\n"
        "export_seconds_count 2.0\n"
        "export_seconds_sum 0.75\n"
    )
    assert scrape(OPENMETRICS)[0].endswith("export_seconds_sum 0.75\n# EOF\n")
    assert samples() == samples(OPENMETRICS)


def test_nothing_is_seen_twice_while_an_aggregation_runs(database):
    with freeze_time(NOON):
        metric("orders", 3)
        aggregate()
        for _ in range(2):  # two items that differ only in their id
            metric("orders", 4)
    before = samples()
    aggregate()
    assert samples() == before == [("orders_total", {}, 11)]
    with CaptureQueriesContext(connections[database]) as queries:
        scrape()
    assert sum("app_metrics_item" in query["sql"] or "app_metrics_total" in query["sql"] for query in queries) == 1


def test_a_metric_without_entries_is_zero_for_counters_and_absent_otherwise(database):
    for kind in KINDS:
        create_metric(kind, kind, kind)
    assert samples() == [("counter_total", {}, 0)]


def test_without_any_metric_the_text_is_empty_and_valid(database):
    assert scrape() == ("", [])
    assert scrape(OPENMETRICS) == ("# EOF\n", [])


def test_a_new_slug_appears_before_an_aggregation(database):
    metric("new")
    assert samples() == [("new_total", {}, 1)]


@both_formats
def test_a_counter_that_was_lowered_is_a_gauge_of_every_label_set(accept, database):
    create_metric("Balance")
    metric("balance", 5)
    metric("balance", -1, labels={"plan": "pro"})
    (family,) = scrape(accept)[1]
    assert (family.name, family.type) == ("balance", "gauge")
    assert samples(accept) == [("balance", {}, 5), ("balance", {"plan": "pro"}, -1)]


def test_a_gauge_is_its_latest_value_over_years_and_equal_label_sets(database):
    with freeze_time(NOON):
        with collect():
            for days, labels in [(0, {"a": ""}), (400, {}), (10, {"b": ""}), (5, {"a": "x"})]:
                gauge("level", days + 1, labels=labels, at=NOON - timedelta(days=days))
        aggregate()
        assert samples() == [("level", {}, 1), ("level", {"a": "x"}, 6)]


def test_a_unique_count_whose_sketch_is_damaged_has_no_sample(database):
    for plan in ("pro", "free"):
        unique("users", 1, labels={"plan": plan})
    aggregate()
    Total.objects.filter(period="year", labels__contains="pro").update(uniques=b"nonsense")
    unique("users", 2, labels={"plan": "pro"})
    assert samples() == [("users", {"plan": "free"}, 1)]


def test_a_unique_count_is_a_gauge_of_how_many_different_ones_there_ever_were(database):
    for user in (1, 2, 1):
        unique("users", user, labels={"plan": "pro"})
        aggregate()
    unique("users", 3)
    (family,) = scrape()[1]
    assert (family.name, family.type) == ("users", "gauge")
    assert samples() == [("users", {}, 1), ("users", {"plan": "pro"}, 2)]


def test_label_sets_that_are_equal_for_prometheus_are_added(database):
    create_metric("Orders")
    metric("orders", 1)
    metric("orders", 2, labels={"plan": ""})
    metric("orders", 4, labels={"plan": "", "region": ""})
    metric("orders", 8, labels={"plan": "pro", "region": ""})
    assert samples() == [("orders_total", {}, 7), ("orders_total", {"plan": "pro"}, 8)]


def test_labels_with_the_same_prometheus_name_stay_apart(database):
    create_metric("Orders")
    metric("orders", 1, labels={"a-b": "1"})
    metric("orders", 2, labels={"a_b": "1"})
    metric("orders", 4, labels={"a-b": "x", "a_b": "y"})
    assert samples() == [
        ("orders_total", {"a_b": "1"}, 1),
        ("orders_total", {"a_b": "x", "a_b_2": "y"}, 4),
        ("orders_total", {"a_b_2": "1"}, 2),
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("plan", "plan"), ("le", "le_"), ("quantile", "quantile_"), ("__name__", "_name__"), ("__", "_"), ("", "_"),
        ("ü2", "_2"), ("9", "_9"), ("__9", "_9"), ("a b", "a_b"), ("ü", "_"), ("a:b", "a_b"), ("Plan", "Plan"),
        ("a\n}", "a__"),
    ],
)  # fmt: skip
def test_a_label_name_becomes_valid_for_prometheus(key, name):
    assert label_names([key]) == {key: name}


def named(*metrics):
    return [name.family for name in names([Metric(slug=slug, kind=kind) for slug, kind in metrics])]


@pytest.mark.parametrize(
    ("metrics", "families"),
    [
        ([("orders", "counter")], ["orders"]),
        ([("orders_total", "counter")], ["orders"]),
        ([("_total", "counter")], ["_total"]),
        ([("9-lives", "gauge")], ["_9_lives"]),
        ([("-", "gauge")], ["_"]),
        ([("export", "timer"), ("import_seconds", "timer")], ["export_seconds", "import_seconds"]),
        ([("_seconds", "timer")], ["_seconds"]),
        ([("a-b", "gauge"), ("a_b", "gauge"), ("a-b_2", "gauge")], ["a_b", "a_b_2", "a_b_2_2"]),
        ([("orders", "counter"), ("orders_total", "gauge")], ["orders", "orders_total_2"]),
        ([("orders_total", "gauge"), ("orders", "counter")], ["orders_total", "orders_2"]),
        ([("orders", "counter"), ("orders_total", "counter")], ["orders", "orders_2"]),
        ([("orders", "counter"), ("orders", "gauge")], ["orders", "orders_2"]),
        ([("orders", "counter"), ("orders_created", "gauge")], ["orders", "orders_created_2"]),
        ([("x", "timer"), ("x_seconds_count", "gauge")], ["x_seconds", "x_seconds_count_2"]),
        ([("x", "timer"), ("x-seconds", "timer")], ["x_seconds", "x_2_seconds"]),
        ([("x", "timer"), ("x_seconds_sum", "counter")], ["x_seconds", "x_seconds_sum_2"]),
        ([("x_seconds", "counter"), ("x", "timer")], ["x_seconds", "x_2_seconds"]),
        ([("x", "distribution"), ("x_bucket", "gauge")], ["x", "x_bucket_2"]),
    ],
)
def test_the_second_metric_with_the_same_prometheus_name_gets_a_number(metrics, families):
    assert named(*metrics) == families


def test_a_prometheus_name_does_not_depend_on_recorded_values(database):
    create_metric("Balance")
    create_metric("Sum", "balance_total", "gauge")
    gauge("balance_total", 1)
    assert [name for name, _, _ in samples()] == ["balance_total", "balance_total_2"]
    metric("balance", -1)
    assert [name for name, _, _ in samples()] == ["balance", "balance_total_2"]


SLUGS = st.one_of(
    st.text("-_aA09", min_size=1, max_size=4),
    st.sampled_from(["orders", "x", "_total", "-"]).flatmap(
        lambda stem: st.lists(
            st.sampled_from(["_total", "_created", "_count", "_sum", "_seconds", "_2", "-total", "_bucket"]), max_size=3
        ).map(lambda suffixes: stem + "".join(suffixes))
    ),
)
TEXTS = st.text(
    st.one_of(
        st.sampled_from('\\"\n\r\t{}=, #_:le9n\u2028\x85\x1c<>'),
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"),
    ),
    max_size=12,
)
LABELS = st.dictionaries(TEXTS | st.sampled_from(["le", "quantile", "__name__", "a-b", "a_b"]), TEXTS, max_size=3)
NUMBERS = st.decimals(-(10**18), 10**18, places=9)
SUMMARIES = st.builds(
    lambda count, numbers: summary_of(*numbers)._replace(count=count),
    st.integers(1, 2**62),
    st.lists(NUMBERS, min_size=1, max_size=3),
) | st.lists(NUMBERS | st.decimals(0, 100, places=9), min_size=1, max_size=9).map(lambda numbers: measured(*numbers))
METRICS = st.dictionaries(
    SLUGS,
    st.tuples(st.sampled_from(KINDS), TEXTS, TEXTS, st.lists(st.tuples(LABELS, SUMMARIES), max_size=3)),
    max_size=6,
)


class Stored:
    """A stand-in for the models: metrics, and the summaries of each."""

    def __init__(self, stored):
        self.stored = stored

    def discover(self, slugs):
        return 0

    def order_by(self, _):
        return [
            Metric(slug=slug, kind=kind, name=name, description=description)
            for slug, (kind, name, description, _) in self.stored.items()
        ]

    def all_time(self, sources, *, sketches):
        return {
            (slug, encode_labels(labels)): summary
            for slug, (_, _, _, rows) in self.stored.items()
            for labels, summary in rows
        }


@both_formats
@given(METRICS)
@hypothesis_settings(max_examples=examples(300))
def test_the_text_is_valid_for_all_names_and_labels(accept, stored):
    with pytest.MonkeyPatch.context() as patch:
        fake = Stored(stored)
        patch.setattr(Metric, "objects", fake)
        patch.setattr(prometheus, "all_time", fake.all_time)
        found = samples(accept)
        present = [slug for slug, (kind, _, _, rows) in stored.items() if rows or kind == "counter"]
        parsed = scrape(accept)[1]
    assert len(parsed) == len({family.name for family in parsed}) == len(present)
    assert all(family.type in ("counter", "gauge", *COUNTED) for family in parsed)
    for family in parsed:
        for each in family.samples:
            assert all(name.isascii() and not name.startswith("__") and value for name, value in each.labels.items())
    counts = sum(
        sum(summary.count for summary in {encode_labels(labels): row for labels, row in rows}.values())
        for kind, _, _, rows in stored.values()
        if kind in MEASURED
    )
    found_counts = sum(value for name, _, value in found if is_count(parsed, name))
    assert found_counts == pytest.approx(counts)


def is_count(parsed, name):
    return any(family.type in COUNTED and f"{family.name}_count" == name for family in parsed)


@both_formats
def test_a_timer_with_negative_entries_has_no_sum(accept, database):
    record("drift", "timer", -1)
    record("drift", "timer", 3, {"plan": "pro"})
    aggregate()
    assert samples(accept) == [("drift_seconds_count", {}, 1), ("drift_seconds_count", {"plan": "pro"}, 1)]


@both_formats
def test_special_characters_in_label_values_survive(accept, database):
    create_metric("Orders")
    values = [
        "\\",
        '"',
        "\n",
        "\\n",
        '\\"',
        "}",
        ",",
        " # {",
        "ü€😀",
        "</script><img src=x onerror=alert(1)>",
        "\r",
        "\t",
    ]
    for value in values:
        metric("orders", labels={"value": value})
    assert sorted(labels["value"] for _, labels, _ in samples(accept)) == sorted(values)


def test_large_totals_are_the_nearest_float(database):
    create_metric("Large")
    metric("large", 2**53 + 1)
    metric("large", 10**18 - 1)
    assert samples() == [("large_total", {}, float(2**53 + 10**18))]


def test_totals_are_complete_if_retention_keeps_only_years(database):
    with freeze_time(NOON):
        with collect():
            metric("orders", 1, at=NOON - timedelta(days=800))
            metric("orders", 2)
        aggregate()
        Total.objects.exclude(period=YEAR).delete()
        assert samples() == [("orders_total", {}, 3)]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/html", "text/plain; version=0.0.4"),
        ("text/plain;version=nonsense", "text/plain; version=0.0.4"),
        ("é, \xff;;=", "text/plain; version=0.0.4"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0"),
        (f"{OPENMETRICS};version=x.y", "application/openmetrics-text; version=1.0.0"),
        (f"{OPENMETRICS};version=99;escaping=values", "application/openmetrics-text; version=1.0.0"),
        (PROMETHEUS_2, "application/openmetrics-text; version=1.0.0"),
        (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0"),
    ],
)
@pytest.mark.django_db
def test_the_format_follows_the_accept_header(accept, content_type, get):
    create_metric("Orders")
    response = get(**({} if accept is None else {"accept": accept}))
    assert (response.status_code, response["Content-Type"]) == (200, f"{content_type}; charset=utf-8")
    parser = PARSERS[OPENMETRICS if "openmetrics" in content_type else ""]
    assert [family.name for family in parser(response.content.decode())] == ["orders"]


@pytest.mark.django_db
def test_without_prometheus_client_the_answer_names_the_package(get, client, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
        monkeypatch.setitem(sys.modules, name, None)
    response = get()
    assert (response.status_code, response["Content-Type"]) == (501, "text/plain; charset=utf-8")
    assert "pip install prometheus_client" in response.content.decode()
    assert client.get("/stats/prometheus/").status_code == 403
