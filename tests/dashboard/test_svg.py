"""The SVG of charts, as embedded in a page."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from xml.etree import ElementTree

import html5lib
import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app_metrics.core.periods import DAY, HOUR, MONTH, WEEK, YEAR
from app_metrics.dashboard import svg
from app_metrics.dashboard.charts import COUNT, MAXIMUM, MINIMUM, NOW, OTHER, PERCENTILE, PREVIOUS, VALUE, Chart, Column
from app_metrics.dashboard.date_range import Selection
from app_metrics.dashboard.svg import draw, sparkline
from app_metrics.models import Metric
from app_metrics.templatetags.app_metrics_dashboard import lines
from tests.support.scope import examples
from tests.support.summaries import summary_of

FIRST = date(2026, 6, 1)
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "]]><!-- --><?x y?>&amp;&#x3c;",
    "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "\ud800\udfff\ufffe\uffff\ufdd0",
    "\u202eRTL\u2066\u2028",
    "📈👩‍👩‍👧‍👦",
    "x" * 5000,
    "{{ settings.SECRET_KEY }}{% now 'Y' %}%s%(x)s",
    "",
]


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def column(role, numbers, key="", title=None):
    return Column(role, key or role, role.title() if title is None else title, numbers)


def chart(*columns, period=DAY, kind="counter", unit="", name="Orders", is_running=False):
    """Return a chart of columns; a list of numbers becomes a column of the role NOW."""
    columns = [each if isinstance(each, Column) else column(NOW, each) for each in columns]
    length = len(columns[0].numbers)
    if period == HOUR:
        start = datetime(2026, 6, 1, tzinfo=UTC)
        starts = [start + timedelta(hours=number) for number in range(length)]
        previous = [each - timedelta(hours=length) for each in starts]
    else:
        starts = list(islice(period.starts_between(FIRST.replace(month=1, day=1), date(9000, 1, 1)), length))
        previous = [each - timedelta(days=1000) for each in starts]
    selection = Selection(period, FIRST, FIRST)
    metric = Metric(name=name, slug="orders", kind=kind, unit=unit)
    recorded = any(number is not None for each in columns for number in each.numbers)
    whole = summary_of(1, at=1) if recorded else None
    return Chart(metric, selection, starts, previous, columns, is_running, whole, None)


def parsed(text):
    """Parse the chart as XML, and check that an HTML parser finds the same elements."""
    root = ElementTree.fromstring(text)
    assert root.tag == "svg"
    page = html5lib.parse(f"<!DOCTYPE html><title>x</title><div>{text}</div>", namespaceHTMLElements=False)
    (div,) = page.find("body")
    (svg,) = div
    assert not div.text
    assert not svg.tail
    strip = re.compile(r"\{.*\}")
    found = [(strip.sub("", each.tag), dict(each.attrib), (each.text or "")) for each in svg.iter()]
    assert found == [(each.tag, dict(each.attrib), (each.text or "")) for each in root.iter()]
    return root


def having(root, kind, tag="*"):
    return [each for each in root.iter(tag if tag != "*" else None) if kind in each.get("class", "").split()]


def slots(root):
    return [each.get("aria-label") for each in having(root, "slot")]


def boxes(root):
    """Return the text of the box of each point in time."""
    return ["; ".join(text.text or "" for text in slot.iter("text")) for slot in having(root, "slot")]


def assert_inert(root):
    allowed = {"svg", "g", "path", "line", "rect", "circle", "text"}
    assert {each.tag for each in root.iter()} <= allowed
    names = {name for each in root.iter() for name in each.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("style", "id", "href", "src")]


def test_a_chart_has_a_place_for_each_point_in_time_that_has_a_number():
    root = parsed(draw(chart([1, 2, None, 4])))
    assert slots(root) == [
        "Thursday, 1 January 2026; Now: 1",
        "Friday, 2 January 2026; Now: 2",
        "Sunday, 4 January 2026; Now: 4",
    ]
    assert boxes(root) == slots(root)
    assert {each.get("role") for each in having(root, "slot")} == {"img"}
    assert (root.get("role"), root.get("aria-label")) == ("group", "Chart of Orders")


PERIOD_CASES = [HOUR, DAY, WEEK, MONTH, YEAR]


@pytest.mark.parametrize("kind", ["counter", "gauge", "timer"])
@pytest.mark.parametrize("period", PERIOD_CASES)
def test_a_point_says_the_same_as_the_table(period, kind):
    shown = chart(
        column(NOW, [1, None, Decimal("2.5"), 1_234_567], title="Total"),
        column(MINIMUM, [0, None, Decimal("-0.5"), 3], title="Lowest"),
        column(MAXIMUM, [5, None, 6, 8_000_000], title="Highest"),
        column(COUNT, [1, None, 2, 3], title="Events"),
        column(PREVIOUS, [7, 8, None, 9], title="Previous 4 weeks"),
        period=period, kind=kind, unit="EUR",
    )  # fmt: skip
    titles = [each.title for each in shown.columns]
    expected = []
    before = [title for title, _ in lines(Chart(**{**fields(shown), "starts": shown.previous}))]
    for (moment, cells), earlier in zip(lines(shown), before, strict=True):
        said = dict(zip(titles, cells, strict=True))
        del said["Events"]
        said[earlier] = said.pop("Previous 4 weeks")
        expected.append("; ".join([moment, *(f"{title}: {cell}" for title, cell in said.items() if cell != "–")]))
    assert slots(parsed(draw(shown))) == expected
    assert len(expected) == 4


def fields(shown):
    return {name: getattr(shown, name) for name in Chart.__dataclass_fields__}


def test_each_label_value_has_its_own_class():
    root = parsed(
        draw(chart(column(VALUE, [1, 2], "a"), column(VALUE, [3, 4], "b"), column(OTHER, [5, 6], "other"))),
    )
    for kind in ("value-0", "value-1", "other-0"):
        assert [each.get("class") for each in having(root, "curve", "g") if kind in each.get("class").split()]
        assert len([each for each in having(root, "dot") if kind in each.get("class").split()]) == 4
    assert slots(root)[0].endswith("Value: 1; Value: 3; Other: 5")


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_labels_and_units_are_text(hostile):
    shown = chart(
        column(VALUE, [1, 2], hostile or "x", hostile), column(OTHER, [5, 6]), name=hostile, unit=hostile
    )  # fmt: skip
    text = draw(shown)
    root = parsed(text)
    assert_inert(root)
    assert "<img" not in text
    assert "onload" not in re.sub(r">[^<]*<|\"[^\"]*\"", "", text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800-\udfff\ufffe\uffff]", text)
    text.encode()
    for said in ("x" * 5000, "&amp;&#x3c;"):
        if said in hostile:
            assert said in slots(root)[0]


@hypothesis_settings(max_examples=examples(60))
@given(st.text(max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_a_chart_can_have_any_texts(name, title, unit):
    with translation.override("en"):
        text = draw(chart(column(VALUE, [1, None, 2], "x", title), name=name, unit=unit, kind="gauge"))
    assert_inert(parsed(text))
    text.encode()


numbers = st.one_of(
    st.none(), st.integers(-(10**28), 10**28), st.decimals(-(10**6), 10**6, places=9), st.sampled_from([0, 10**28])
)


@hypothesis_settings(max_examples=examples(150))
@given(st.lists(numbers, min_size=1, max_size=20), st.sampled_from(["counter", "gauge", "timer"]), st.booleans())
def test_a_chart_can_have_any_numbers(values, kind, is_running):
    with translation.override("en"):
        text = draw(chart(values, kind=kind, is_running=is_running))
    if all(value is None for value in values):
        assert text == ""
        return
    root = parsed(text)
    assert_inert(root)
    assert len(slots(root)) == sum(value is not None for value in values)
    for each in root.iter("circle"):
        assert 0 <= float(each.get("cx")) <= svg.WIDTH
        assert 0 <= float(each.get("cy")) <= svg.HEIGHT


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([10**28, 10**28 + 1], 2),
        ([-5, -7], 2),
        ([Decimal("0.000000001"), Decimal("0.000000002")], 2),
        ([5], 1),
        ([0, 0, 0], 3),
        (range(400), 400),
    ],
    ids=["huge", "negative", "tiny", "one", "zeros", "400"],
)
@pytest.mark.parametrize("period", PERIOD_CASES)
def test_numbers_of_every_size_are_drawn(values, count, period):
    assert len(slots(parsed(draw(chart(list(values), period=period))))) == count


def test_a_larger_number_lies_higher():
    root = parsed(draw(chart([1, 3, -2])))
    heights = [float(slot.find(".//circle").get("cy")) for slot in having(root, "slot")]
    assert heights[1] < heights[0] < heights[2]
    assert all(svg.TOP <= height <= svg.BOTTOM for height in heights)


def test_the_axis_of_numbers_includes_zero():
    root = parsed(draw(chart([100, 101], kind="gauge")))
    assert all(float(each.get("cy")) < svg.BOTTOM / 4 for each in root.iter("circle"))
    assert axis_of_numbers([100, 101], kind="gauge") == ["0", "20", "40", "60", "80", "100"]


def test_a_chart_without_values_is_empty():
    assert draw(chart([None, None], kind="gauge")) == ""
    assert draw(chart([])) == ""


def test_a_point_that_no_line_leads_to_has_a_dot():
    few, many = [5, None, 6, 7], [5, None, 6, 7] + [None] * 70

    def dots(values):
        root = parsed(draw(chart(values, kind="gauge")))
        return len([each for each in having(root, "dot") if each.get("r") == "3.0"])

    assert dots(few) == 3
    assert dots(many) == 1
    assert dots([*([None] * 70), 5]) == 1
    assert dots([*([1] * 70), 5]) == 0


def test_the_period_that_runs_has_a_curve_of_its_own():
    def curves(values, **options):
        root = parsed(draw(chart(values, **options)))
        return [each.get("class") for each in having(root, "curve", "g")], slots(root)

    over, said = curves([1, 2, 3], kind="gauge")
    running, said_running = curves([1, 2, 3], is_running=True, kind="gauge")
    assert not [kind for kind in over if "running" in kind]
    assert [kind for kind in running if "running" in kind]
    assert said[:-1] == said_running[:-1]
    assert said_running[-1] == "Saturday, 3 January 2026, so far; Now: 3"
    assert curves([3], is_running=True)[1] == ["Thursday, 1 January 2026, so far; Now: 3"]
    assert len(curves([None, 3], is_running=True, kind="gauge")[1]) == 1


@pytest.mark.parametrize("kind", ["counter", "gauge", "timer"])
@pytest.mark.parametrize("projected", [None, 9])
def test_no_line_leads_to_a_part_of_a_sum_whose_whole_is_not_projected(kind, projected):
    root = parsed(draw(replace(chart([5, 6, 1], kind=kind, is_running=True), projected=projected)))
    is_joined = bool(having(root, "running", "g"))
    assert is_joined is (kind != "counter" or projected is not None)


def test_the_percentiles_of_the_period_that_runs_have_curves_of_their_own():
    columns = [column(NOW, [1, 2, 3]), column(PERCENTILE, [4, 5, 6], "p95")]
    root = parsed(draw(chart(*columns, kind="timer", is_running=True)))
    found = [each.get("class") for each in having(root, "curve")]
    assert [each for each in found if "percentile" in each] == [
        "curve percentile percentile-0 running", "curve percentile percentile-0"
    ]  # fmt: skip


def test_no_line_leads_to_the_running_period_of_label_values():
    root = parsed(draw(chart(column(VALUE, [5, 6, 1], "a"), column(OTHER, [5, 6, 1]), is_running=True)))
    assert having(root, "running", "g") == []
    assert len(having(root, "dot")) == 12


@pytest.mark.parametrize(("values", "dots"), [([5] * 70, 1), ([5] * 70 + [None], 0), ([5] * 3, 3)])
def test_a_running_period_that_no_line_leads_to_has_a_dot_in_a_long_chart_too(values, dots):
    shown = chart(column(NOW, values), column(PREVIOUS, [9] * len(values)), is_running=True)
    small = [each for each in having(parsed(draw(shown)), NOW) if each.get("r") == "3.0"]
    assert len(small) == dots


def test_the_table_says_that_the_numbers_of_the_running_period_are_those_so_far():
    assert [title for title, _ in lines(chart([1, 2], is_running=True))] == [
        "Thursday, 1 January 2026", "Friday, 2 January 2026, so far",
    ]  # fmt: skip


def test_the_curve_of_a_running_period_starts_at_the_previous_point():
    root = parsed(draw(chart([1, 2, 4], kind="gauge", is_running=True)))
    (running,) = [each for each in having(root, "running", "g") if each.find("path") is not None]
    (solid,) = [
        each
        for each in having(root, "curve", "g")
        if each.get("class").split()[1:] == ["now", "now-0"] and each.find("path") is not None
    ]
    ends = [re.findall(r"[-\d.]+", each.find("path").get("d")) for each in (solid, running)]
    places = [(dot.get("cx"), dot.get("cy")) for dot in root.iter("circle") if dot.get("r") == "5.0"]
    assert [f"{float(each):.1f}" for each in ends[0]] == [each for place in places[:2] for each in place]
    assert [f"{float(each):.1f}" for each in ends[1]] == [each for place in places[1:] for each in place]


def test_the_area_ends_at_the_last_closed_period():
    root = parsed(draw(chart([1, 2, 4], is_running=True)))
    (area,) = [each for each in having(root, "area", "g") if each.find("path") is not None]
    (_, last_over, _) = [float(dot.get("cx")) for dot in root.iter("circle") if dot.get("r") == "5.0"]
    across = [float(x) for x in re.findall(r"(-?[\d.]+) -?[\d.]+", area.find("path").get("d").replace(",", " "))]
    assert max(across) == pytest.approx(last_over, abs=0.1)


def test_a_projected_number_has_a_faint_curve_a_dot_and_a_line_in_the_box_of_the_running_period():
    shown = chart(column(NOW, [10, 20, 4]), column(PREVIOUS, [9, 19, 29]), is_running=True)
    root = parsed(draw(replace(shown, projected=40)))
    assert_inert(root)
    curves = {each.get("class"): each.find("path").get("d") for each in having(root, "curve", "g")}
    (faint,) = having(root, "projected", "circle")
    assert curves["curve now now-0 projected"].endswith(f"L{faint.get('cx')} {faint.get('cy')}")
    assert float(faint.get("cy")) == svg.TOP
    assert slots(root)[-1].split("; ")[1::2] == ["Now: 4", "Projected: 40"]
    assert [each for each in slots(root)[:-1] if "Projected" in each] == []
    assert boxes(root) == slots(root)


def test_a_projected_number_of_the_only_period_is_a_dot():
    root = parsed(draw(replace(chart([4], is_running=True), projected=9)))
    assert len(having(root, "projected", "circle")) == 1
    assert slots(root) == ["Thursday, 1 January 2026, so far; Now: 4; Projected: 9"]


def test_without_a_projected_number_nothing_of_it_is_drawn():
    assert having(parsed(draw(chart([1, 2, 4], is_running=True))), "projected") == []


def test_only_a_counter_has_an_area():
    for kind, has_area in (("counter", True), ("gauge", False), ("timer", False)):
        assert bool(having(parsed(draw(chart([1, 2], kind=kind))), "area")) is has_area


def test_background_curves_are_drawn_first():
    shown = chart(column(NOW, [1, 2]), column(MINIMUM, [0, 1]), column(MAXIMUM, [3, 4]), column(PREVIOUS, [5, 6]))
    root = parsed(draw(shown))
    order = [each.get("class").split()[1] for each in having(root, "curve", "g")]
    assert order.index(PREVIOUS) < order.index(NOW)
    assert max(number for number, role in enumerate(order) if role != NOW) < order.index(NOW)


def test_the_column_of_counts_is_not_drawn():
    root = parsed(draw(chart(column(NOW, [1, 2]), column(COUNT, [900, 900]))))
    assert not [each for each in root.iter() if COUNT in each.get("class", "").split()]
    assert "900" not in "".join(slots(root))


def test_a_chart_has_no_style_script_or_address_and_needs_no_name_of_its_own():
    text = draw(chart([1, 2, 3], column(PREVIOUS, [1, 2, 3])))
    assert not re.search(r"<style|<script|<defs|<title|<desc|style=|\bid=|\son\w+=|href|https?:|xmlns|url\(", text)


def test_two_drawings_of_a_chart_are_equal():
    assert draw(chart([1, 2, 3])) == draw(chart([1, 2, 3]))


def test_an_axis_has_few_labels():
    for length in (1, 2, 7, 8, 28, 91, 400):
        root = parsed(draw(chart(list(range(1, length + 1)))))
        (axis,) = having(root, "x", "g")
        labels = [text for text in axis.iter("text") if text.text]
        assert 1 <= len(labels) <= svg.MAX_TIME_LABELS


def axis_of_numbers(values, **options):
    (axis,) = having(parsed(draw(chart(values, **options))), "y", "g")
    return [text.text for text in axis.iter("text")]


def axis_of_time(length, period):
    (axis,) = having(parsed(draw(chart(list(range(1, length + 1)), period=period))), "x", "g")
    return [text.text for text in axis.iter("text") if text.text]


def test_an_axis_names_each_of_a_few_points_and_many_evenly_apart():
    assert axis_of_time(3, DAY) == ["1 January", "2 January", "3 January"]
    assert axis_of_time(28, DAY) == [f"{day} January" for day in range(1, 29, 4)]
    assert axis_of_time(5, YEAR) == ["2026", "2027", "2028", "2029", "2030"]
    assert axis_of_time(12, HOUR) == ["1 June", "2 a.m.", "4 a.m.", "6 a.m.", "8 a.m.", "10 a.m."]


def test_an_axis_of_hours_over_days_names_the_days():
    assert axis_of_time(168, HOUR) == [f"{day} June" for day in range(1, 8)]
    assert axis_of_time(384, HOUR) == [f"{day} June" for day in range(1, 17, 3)]


def test_a_timers_axis_has_units():
    root = parsed(draw(chart([Decimal("0.1"), Decimal("0.2")], kind="timer")))
    (axis,) = having(root, "y", "g")
    assert any("ms" in (text.text or "") for text in axis.iter("text"))


def test_an_axis_of_whole_numbers_names_whole_numbers():
    assert axis_of_numbers([0, 2, 1]) == ["0", "1", "2"]
    assert axis_of_numbers([0, 0]) == ["0", "1"]
    assert axis_of_numbers([Decimal("0.5"), 1], kind="gauge") == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([-30, 70], ["−20", "0", "20", "40", "60"]),
        ([12_345, 999], ["0", "5,000", "10,000"]),
        ([Decimal("-0.004")], ["−0.004", "−0.003", "−0.002", "−0.001", "0"]),
    ],
    ids=["below zero", "thousands", "tiny"],
)
def test_an_axis_names_few_round_numbers(values, texts):
    assert axis_of_numbers(values, kind="gauge") == texts


@hypothesis_settings(max_examples=100)
@given(st.lists(numbers.filter(lambda number: number is not None), min_size=1, max_size=5))
def test_an_axis_of_any_numbers_has_at_least_two_names_and_at_most_seven(values):
    assert 2 <= len(axis_of_numbers(values, kind="gauge")) <= svg.MAX_STEPS + 1


def test_a_line_has_gaps_at_missing_values():
    root = parsed(draw(chart([1, 2, None, 4, 5], kind="gauge")))
    (path,) = [group.find("path").get("d") for group in having(root, "curve", "g")]
    places = [f"{dot.get('cx')} {dot.get('cy')}" for dot in root.iter("circle") if dot.get("r") == "5.0"]
    assert path == "M{}L{}M{}L{}".format(*places)


@pytest.mark.parametrize("language", ["de", "fr", "he", "ar", "fa", "hi", "ja"])
@pytest.mark.parametrize("period", PERIOD_CASES)
def test_a_chart_is_drawn_in_every_language(language, period):
    with translation.override(language):
        shown = chart([1, Decimal("-2.5")], period=period, kind="timer")
        root = parsed(draw(shown))
        assert slots(root) == [f"{title}; Now: {cell}" for title, (cell,) in lines(shown)]


def picture(values, label="Last days"):
    text = sparkline(values, label)
    (page,) = html5lib.parse(f"<!DOCTYPE html><title>x</title>{text}", namespaceHTMLElements=False).find("body")
    assert page.get("aria-label") == label
    return ElementTree.fromstring(text)


def test_a_small_picture_is_an_image_with_a_text_and_needs_no_style():
    root = picture([0, 5, 10])
    assert (root.get("role"), root.get("aria-label")) == ("img", "Last days")
    assert root.find("polyline").get("points") == "1.0,19.0 50.0,10.0 99.0,1.0"
    assert not re.search("style=|script|href|http|id=", sparkline([1, 2], "x"))


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ([None, 5, None], "50.0,1.0"),
        ([-10, 0, 10], "1.0,19.0 50.0,10.0 99.0,1.0"),
        ([-4, -2, -4], "1.0,19.0 50.0,10.0 99.0,19.0"),
        ([0, 0, 0], "1.0,19.0 50.0,19.0 99.0,19.0"),
        ([10**28, 10**28, 0], "1.0,1.0 50.0,1.0 99.0,19.0"),
    ],
)
def test_a_small_picture_has_zero_or_the_lowest_number_at_the_bottom(values, points):
    assert picture(values).find("polyline").get("points") == points


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ([0, 5, 10], "1.0,19.0 50.0,10.0 99.0,1.0 99.0,19.0 1.0,19.0"),
        ([-10, 0, 10], "1.0,19.0 50.0,10.0 99.0,1.0 99.0,10.0 1.0,10.0"),
        ([None, 5, 10], "50.0,10.0 99.0,1.0 99.0,19.0 50.0,19.0"),
    ],
)
def test_the_area_of_a_small_picture_reaches_from_its_line_to_zero(values, points):
    assert picture(values).find("polygon").get("points") == points


def test_the_line_of_a_small_picture_keeps_its_width_when_a_style_sheet_stretches_it():
    root = picture([1, 2])
    assert root.get("preserveAspectRatio") == "none"
    assert root.find("polyline").get("vector-effect") == "non-scaling-stroke"


def test_there_is_no_sparkline_without_values():
    assert sparkline([None, None], "x") == sparkline([], "x") == ""


def test_a_hostile_label_of_a_small_picture_is_text():
    hostile = "\"><script>alert(1)</script>'&"
    assert picture([1, 2], hostile).get("aria-label") == hostile
