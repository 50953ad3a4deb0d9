"""`metrics_show`: a metric in a terminal."""

import os
import re
import subprocess
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from freezegun import freeze_time

from app_metrics import collect, gauge, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.formatting import shown
from app_metrics.core.setting_rules import suggest
from app_metrics.core.summary import UNIQUE, headline
from app_metrics.models import Metric
from app_metrics.recording.metrics import record
from tests.support.clock import noon_of_yesterday
from tests.support.processes import start

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.fixture
def history(database):
    with freeze_time(NOW):
        with collect():
            for days, number in enumerate((1000, 0, 20, 5)):
                metric("orders", number, at=NOW - timedelta(days=days))
                gauge("queue", number, at=NOW - timedelta(days=days))
        aggregate()
        metric("orders", 234)
        yield database


def show(*arguments):
    out = StringIO()
    call_command("metrics_show", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_a_counter_is_a_table_with_a_sparkline_including_pending_items(history):
    assert show("orders", "--last=4") == [
        "orders (orders), by day",
        "            total  events",
        "2026-11-20      5       1",
        "2026-11-21     20       1",
        "2026-11-22      0       1",
        "2026-11-23  1,234       2",
        "▂▂▁█",
    ]


@pytest.mark.parametrize("kind", ["timer", "distribution"])
def test_a_timer_and_a_distribution_show_their_mean_and_percentiles_with_pending_numbers(kind, history):
    for number in range(1, 101):
        record("amount", kind, number)
        if number == 90:
            aggregate()
    record("amount", kind, 7, at=NOW - timedelta(days=2))
    percentiles = [shown(Metric.objects.get(slug="amount").percentile("day", each), kind) for each in (50, 95, 99)]
    _, head, *rows, _ = show("amount", "--last=3")
    assert head.split() == ["mean", "p50", "p95", "p99", "lowest", "highest", "events"]
    assert [re.split(" +", row)[1:] for row in rows] == [
        [shown(7, kind)] * 6 + ["1"], ["–"] * 6 + ["0"],
        [shown(Decimal("50.5"), kind), *percentiles, shown(1, kind), shown(100, kind), "100"],
    ]  # fmt: skip


def test_a_unique_count_shows_how_many_different_ones_there_were_with_pending_numbers(history):
    with collect():
        for user in range(1200):
            unique("users", user)
    aggregate()
    unique("users", 1)
    for user in (1, 2, 1):
        unique("users", user, at=NOW - timedelta(days=1))
    number = headline(UNIQUE, Metric.objects.get(slug="users").summary("day"))
    _, head, *rows, _ = show("users", "--last=3")
    assert head.split() == ["different", "events"]
    assert [re.split("  +", row)[1:] for row in rows] == [["0", "0"], ["2", "3"], [shown(number, UNIQUE), "1,201"]]
    assert shown(number, UNIQUE).startswith("about")


def test_a_gauge_shows_its_last_value_and_range_and_gaps_as_gaps(history):
    assert show("queue", "--last=5") == [
        "queue (queue), by day",
        "             last  lowest  highest  events",
        "2026-11-19      –       –        –       0",
        "2026-11-20      5       5        5       1",
        "2026-11-21     20      20       20       1",
        "2026-11-22      0       0        0       1",
        "2026-11-23  1,000   1,000    1,000       1",
        " ▂▂▁█",
    ]


def test_the_last_hour_shown_is_the_current_one(history):
    assert show("orders", "--period=hour", "--last=2")[2:] == [
        "2026-11-23 11:00      0       0",
        "2026-11-23 12:00  1,234       2",
        "▁█",
    ]


@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "year"])
def test_as_many_periods_are_shown_as_were_asked_for(history, period):
    assert len(show("orders", f"--period={period}", "--last=40")) == 43


def test_thirty_days_are_shown_by_default(history):
    assert len(show("orders")) == 33


def test_an_unknown_slug_is_an_error_that_suggests_known_slugs(history):
    with pytest.raises(CommandError, match=r"'order'\. Did you mean 'orders'\?"):
        show("order")
    with pytest.raises(CommandError, match=r"'visits'\. Choose one of orders, queue\."):
        show("visits")


def test_a_hint_of_more_than_30_names_ends_with_and_others():
    names = [f"name-{number:02}" for number in range(31)]
    assert suggest("visits", names[:30]).endswith("name-28, name-29.")
    assert suggest("visits", names).endswith("name-28, name-29 and others.")


def test_before_anything_was_recorded_it_says_so(database):
    with pytest.raises(CommandError, match=r"'orders'\. Nothing was recorded yet\."):
        show("orders")


@pytest.mark.parametrize("last", [0, -1, 1001])
def test_a_number_of_periods_beyond_the_limits_is_refused(history, last):
    with pytest.raises(CommandError, match=f"--last is {last}; give a number from 1 to 1000."):
        show("orders", f"--last={last}")


@pytest.mark.parametrize(
    ("encoding", "name"), [("latin-1", "Umsatz in ? \u00e9"), ("utf-8", "Umsatz in \u20ac \u00e9")]
)
def test_an_encoding_that_lacks_characters_gets_replacements_and_no_sparkline(encoding, name, transactional_database):
    """The subprocess uses the real clock."""
    gauge("turnover", -5, at=noon_of_yesterday())
    aggregate()
    Metric.objects.update(name="Umsatz in \u20ac \u00e9")
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    process = start(
        "tests.support.manage", transactional_database, "metrics_show", "turnover", "--last=2",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, encoding=encoding,
    )  # fmt: skip
    out, err = process.communicate()
    assert (err, process.returncode) == ("", 0)
    title, _, yesterday, today, *rest = out.splitlines()
    assert title == f"{name} (turnover), by day"
    is_whole = encoding == "utf-8"
    assert yesterday.split()[1:] == ["\u22125" if is_whole else "-5"] * 3 + ["1"]
    assert today.split()[1:] == ["\u2013" if is_whole else "-"] * 3 + ["0"]
    assert rest == (["\u2584 "] if is_whole else [])


def test_a_name_with_line_breaks_stays_on_one_line(history):
    Metric.objects.filter(slug="orders").update(name="Or\nders\x1b[2J")
    assert show("orders", "--last=1")[0] == "Or ders [2J (orders), by day"


@pytest.mark.parametrize("arguments", [("metrics_show", "orders", "--last=1000"), ("metrics_export",)])
def test_closing_the_output_early_is_no_error(arguments, transactional_database):
    """The subprocess uses the real clock."""
    metric("orders")
    aggregate()
    process = start(
        "tests.support.manage", transactional_database, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", 0)


@pytest.fixture
def per_event(history, settings):
    settings.APP_METRICS_RATIOS = {
        "orders_in_queue": {"of": "orders", "to": "queue", "as": "percent"},
        "mean": {"of": "orders", "to": {"slug": "orders", "field": "count"}, "unit": "EUR"},
    }


def test_a_ratio_stands_beside_its_numerator_and_denominator(per_event):
    Metric.objects.filter(slug="orders").update(unit="EUR")
    assert [line.replace("\u00a0", " ") for line in show("mean", "--last=2")] == [
        "mean, by day",
        "              ratio     orders  orders (events)",
        "2026-11-22    0 EUR      0 EUR                1",
        "2026-11-23  617 EUR  1,234 EUR                2",
        "▁█",
    ]


def test_a_ratio_without_a_denominator_is_not_available_and_a_gap(per_event):
    assert [line.replace("\u00a0", " ") for line in show("orders_in_queue", "--last=3")] == [
        "orders_in_queue, by day",
        "              ratio  orders  queue",
        "2026-11-21    100 %      20     20",
        "2026-11-22      n/a       0      0",
        "2026-11-23  123.4 %   1,234  1,000",
        "▇ █",
    ]


def test_a_ratio_is_shown_by_the_hour_too(per_event):
    assert len(show("mean", "--period=hour", "--last=40")) == 43


def test_a_ratio_of_days_is_shown_by_day_and_refused_by_the_hour(per_event, settings):
    settings.APP_METRICS_RATIOS = {"mean": {"of": {"slug": "orders", "days": 2}, "to": "queue"}}
    assert [line.replace("\u00a0", " ") for line in show("mean", "--last=1")[:3]] == [
        "mean, by day",
        "            ratio  orders (2 days)  queue",
        "2026-11-23   1.23            1,234  1,000",
    ]
    with pytest.raises(CommandError, match="whole days, so there is none of an hour; choose day, week, month, year"):
        show("mean", "--period=hour")


def test_a_misspelt_ratio_is_an_error_that_suggests_it(per_event):
    with pytest.raises(CommandError, match=r"'meen'\. Did you mean 'mean'\?"):
        show("meen")


def test_a_metric_is_shown_if_a_ratio_has_its_name(history, settings):
    settings.APP_METRICS_RATIOS = {"orders": {"of": "queue", "to": "queue"}}
    assert show("orders", "--last=1")[0] == "orders (orders), by day"


@pytest.fixture
def countries(history):
    for plan, country, number in [("pro", "fi", 10), ("pro", "se", 30), ("free", "fi", 100)]:
        metric("orders", number, labels={"plan": plan, "country": country})
    metric("orders", 4, labels={"plan": "pro"})


def test_a_filter_shows_what_has_these_labels_among_others(countries):
    assert show("orders", "--last=2", "--where", "plan=pro") == [
        "orders (orders), by day, where plan=pro",
        "            total  events",
        "2026-11-22      0       0",
        "2026-11-23     44       3",
        "▁█",
    ]
    assert show("orders", "--last=1", "--where=plan=pro", "--where=country=fi")[2].split()[1:] == ["10", "1"]


def test_a_split_has_a_column_for_each_value_of_a_label(countries):
    assert show("orders", "--last=2", "--where=plan=pro", "--split=country") == [
        "orders (orders), by day and country, where plan=pro",
        "            total  se  fi  without country",
        "2026-11-22      0   0   0                0",
        "2026-11-23     44  30  10                4",
        "▁█",
    ]


def test_a_split_by_hours_ends_with_the_current_one(countries):
    assert [line.split()[1:] for line in show("orders", "--split=plan", "--period=hour", "--last=2")[2:4]] == [
        ["11:00", "0", "0", "0", "0"], ["12:00", "1,378", "1,234", "100", "44"],
    ]  # fmt: skip


def test_many_values_of_a_label_share_a_column(countries):
    for number in range(10):
        metric("orders", 200 - number, labels={"country": f"c{number}"})
    head, row = show("orders", "--last=1", "--split=country")[1:3]
    assert head.split() == ["total", "without", "country", *(f"c{number}" for number in range(7)), "(others)"]
    assert row.split()[-1] == str(193 + 192 + 191 + 110 + 30)


def test_a_split_of_a_timer_has_a_percentile_beside_each_mean(database):
    for seconds, form in ((1, "pdf"), (3, "pdf"), (8, "csv")):
        record("export", "timer", seconds, {"format": form})
    for _ in range(2):
        head, row = (line.replace("\u00a0", " ") for line in show("export", "--last=1", "--split=format")[1:3])
        assert head.split() == ["mean", "p95", "pdf", "p95", "csv", "p95"]
        assert row.split()[1:] == ["4", "s", "8", "s", "2", "s", "3", "s", "8", "s", "8", "s"]
        aggregate()


def test_the_overflow_series_is_a_column_and_a_note(countries, settings):
    aggregate()
    settings.APP_METRICS_MAX_LABEL_SETS = 4
    metric("orders", 7, labels={"plan": "pro", "country": "no"})
    *_, head, row, _, note = show("orders", "--last=1", "--split=country", "--where=plan=pro")
    assert (head.split()[-1], row.split()[-1]) == ("(overflow)", "7")
    assert note == (
        "The overflow series, of label sets beyond APP_METRICS_MAX_LABEL_SETS, has 1 event; its labels are not known, "
        "so some may match."
    )
    assert show("orders", "--last=1", "--split=country")[-1].endswith("so it is in no other column.")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["orders", "--where=plna=pro"], r"There is no label 'plna'\. Did you mean 'plan'\?"),
        (["orders", "--split=city"], r"There is no label 'city'\. Choose one of country, plan\."),
        (["queue", "--split=plan"], r"There is no label 'plan'\. Nothing was recorded with labels\."),
        (["orders", "--where=plan"], "--where is 'plan'; give LABEL=VALUE, such as plan=pro."),
        (["orders", "--where=plan=pro", "--where=plan=free"], "--where gives the label 'plan' twice"),
        (["orders", f"--where=plan={'x' * 101}"], "--where: The label 'x+'… has 101 characters"),
        (["mean", "--where=plan=pro"], "A ratio takes no --where and no --split"),
    ],
)
def test_a_bad_filter_or_split_is_an_error(countries, per_event, arguments, error):
    with pytest.raises(CommandError, match=error):
        show(*arguments)
