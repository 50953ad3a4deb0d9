"""How the numbers of a timer or distribution spread over the periods of a chart."""

from datetime import date, timedelta
from random import Random
from xml.etree import ElementTree

import pytest
from django.utils import translation

from app_metrics.core.histogram import Histogram
from app_metrics.core.periods import DAY
from app_metrics.dashboard.charts import Chart
from app_metrics.dashboard.date_range import Selection
from app_metrics.dashboard.distribution import MOST_COLUMNS, MOST_ROWS, Cell, spread_of
from app_metrics.dashboard.distribution_svg import column_title, draw_spread, row_title
from app_metrics.models import Metric
from app_metrics.templatetags.app_metrics_percentiles import spread_note, spread_rows
from tests.support.summaries import measured, summary_of

FIRST = date(2026, 6, 1)


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def chart_of(*days, kind="timer", unit=""):
    """Return a chart with these numbers on each day from 1 June 2026; those of a day are unknown if it is None."""
    starts = [FIRST + timedelta(days=number) for number in range(len(days))]
    metric = Metric(name="Waits", slug="waits", kind=kind, unit=unit)
    histograms = [Histogram(numbers) if numbers else None for numbers in days]
    whole = summary_of(1) if None in days else measured(1)
    return Chart(metric, Selection(DAY, FIRST, FIRST), starts, starts, [], False, whole, None, histograms=histograms)


def lognormal(count, seed=1):
    chance = Random(seed)
    return [chance.lognormvariate(-1, 1) for _ in range(count)]


CASES = {
    "lognormal": [lognormal(200, 1), lognormal(200, 2)],
    "constant": [[0.25] * 10],
    "of the bounds": [[2.0**power for power in range(-3, 4)]],
    "both signs": [[-4, -0.5, 0, 0.5, 4], [0, -1, 100]],
    "below zero": [[-1, -2, -3.5]],
    "zeros": [[0, 0]],
    "all sizes": [[1e-9, 1e-3, 1, 1e6, 9e17, -1e-9, -9e17, 0]],
}


@pytest.mark.parametrize("days", CASES.values(), ids=CASES)
def test_each_number_is_counted_in_the_cell_of_its_day_and_its_bounds(days):
    spread = spread_of(chart_of(*days))
    for cell, count in spread.counts.items():
        lower, upper = spread.bounds(cell.row)
        within = [
            n for n in days[cell.column] if (lower < n <= upper if n > 0 else lower <= n < upper or n == lower == 0)
        ]
        assert len(within) == count > 0
    assert sum(spread.counts.values()) == sum(map(len, days))


@pytest.mark.parametrize("days", CASES.values(), ids=CASES)
def test_there_are_few_rows_and_the_highest_of_one_is_the_lowest_of_the_next(days):
    spread = spread_of(chart_of(*days))
    assert len(spread.rows) <= MOST_ROWS
    assert {cell.row for cell in spread.counts} >= {0, len(spread.rows) - 1}
    for row, (below, above) in enumerate(zip(spread.rows, spread.rows[1:], strict=False)):
        (_, upper), (lower, _) = spread.bounds(row), spread.bounds(row + 1)
        assert upper == lower if below.sign == above.sign else upper <= lower


def test_each_row_is_as_much_larger_than_the_one_before():
    spread = spread_of(chart_of(lognormal(500)))
    factors = [upper / lower for lower, upper in map(spread.bounds, range(len(spread.rows)))]
    assert max(factors) == pytest.approx(min(factors))


@pytest.mark.parametrize(("days", "columns"), [(1, 1), (MOST_COLUMNS, MOST_COLUMNS), (MOST_COLUMNS + 1, 32), (500, 56)])
def test_more_periods_than_fit_share_columns(days, columns):
    spread = spread_of(chart_of(*[[1]] * days))
    assert len(spread.columns) == columns <= MOST_COLUMNS
    assert [index for column in spread.columns for index in column] == list(range(days))
    assert sum(spread.counts.values()) == days


def test_a_shared_column_is_named_by_its_first_and_last_period():
    spread = spread_of(chart_of(*[[1]] * (MOST_COLUMNS + 1)))
    assert column_title(spread, 0) == "Monday, 1 June 2026 to Tuesday, 2 June 2026"
    assert column_title(spread, 31) == "Sunday, 2 August 2026"


def test_without_any_known_number_there_is_no_distribution():
    assert spread_of(chart_of(None, [])) is None
    assert spread_of(chart_of()) is None


def test_periods_whose_numbers_are_unknown_are_left_out_which_is_said():
    spread = spread_of(chart_of([1, 1], None))
    assert spread.counts == {Cell(0, 0): 2}
    assert [numbers for _, numbers in spread_rows(spread)] == [["2"], ["–"]]
    assert spread_note(spread).endswith("The strongest shade is 2. Periods without percentiles are left out.")
    assert spread_note(spread_of(chart_of([1, 1]))).endswith("The strongest shade is 2.")


def drawn(spread):
    return ElementTree.fromstring(draw_spread(spread))


def test_a_cell_is_shaded_by_its_count_and_says_it():
    root = drawn(spread_of(chart_of([0.3] * 5 + [0.7], [0.3] * 2)))
    cells = [(each.get("class"), each.find("title").text.replace("\xa0", " ")) for each in root.iter("rect")]
    assert cells == [
        ("level-5", "Monday, 1 June 2026; 297 ms to 324 ms: 5"),
        ("level-1", "Monday, 1 June 2026; 648 ms to 707 ms: 1"),
        ("level-2", "Tuesday, 2 June 2026; 297 ms to 324 ms: 2"),
    ]
    assert (
        root.get("aria-label").replace("\xa0", " ")
        == "Distribution by time; most: Monday, 1 June 2026; 297 ms to 324 ms: 5"
    )


def test_later_periods_are_further_right_and_larger_numbers_higher():
    root = drawn(spread_of(chart_of([1, 8], [1])))
    (low, high, later) = [(float(each.get("x")), float(each.get("y"))) for each in root.iter("rect")]
    assert low[0] == high[0] < later[0]
    assert high[1] < low[1] == later[1]


def test_the_axis_of_values_names_bounds_in_the_unit_of_the_metric():
    root = drawn(spread_of(chart_of([1, 2, 4], kind="distribution", unit="kB")))
    texts = [each.text for each in root.iter("text")]
    assert [text.replace("\xa0", " ") for text in texts] == [
        "0.917 kB", "1.09 kB", "1.3 kB", "1.54 kB", "1.83 kB", "2.18 kB", "2.59 kB", "3.08 kB", "3.67 kB", "1 June"
    ]  # fmt: skip


def test_zero_has_a_row_of_its_own():
    spread = spread_of(chart_of([-1, 0, 1], kind="distribution"))
    assert [row_title(spread, row) for row in range(3)] == ["−1 to −0.917", "0", "0.917 to 1"]
    assert "0" in [each.text for each in drawn(spread).iter("text")]


def test_a_hostile_unit_is_text_and_there_is_no_style():
    root = drawn(spread_of(chart_of([1], kind="distribution", unit="<script>\"'&\0")))
    assert {each.tag for each in root.iter()} == {"svg", "text", "rect", "title"}
    names = {name for each in root.iter() for name in each.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("style", "id", "href")]
