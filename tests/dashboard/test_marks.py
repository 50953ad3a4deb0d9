"""The annotations of a chart, in its drawing and in its table."""

from datetime import UTC, date, datetime
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.utils import translation
from freezegun import freeze_time

from app_metrics import gauge, metric
from app_metrics.core.periods import DAY, HOUR, WEEK
from app_metrics.dashboard.chart_files import chart_data
from app_metrics.dashboard.charts import build_chart
from app_metrics.dashboard.date_range import Selection
from app_metrics.dashboard.svg import draw
from app_metrics.models import Annotation, Metric
from app_metrics.models.creation import create_metric
from app_metrics.templatetags.app_metrics_dashboard import note

JUNE = Selection(DAY, date(2026, 6, 1), date(2026, 6, 20))


@pytest.fixture
def orders(database):
    with freeze_time("2026-06-20 10:00:00"), translation.override("en"):
        metric("orders", 7, at=datetime(2026, 6, 1, 12, tzinfo=UTC))
        yield create_metric("Orders", "orders")


def annotate(text, day, hour=12, month=6, **fields):
    return Annotation.objects.create(text=text, at=datetime(2026, month, day, hour, tzinfo=UTC), **fields)


def marks(chart):
    return [(mark.number, mark.index, mark.title) for mark in chart.marks]


def drawn(chart, kind):
    root = ElementTree.fromstring(draw(chart))
    return [each for each in root.iter() if kind in each.get("class", "").split()]


def test_a_chart_has_a_mark_for_each_period_with_annotations(orders):
    annotate("Sale", 3)
    annotate("Release 4.2", 1)
    annotate("before", 31, month=5)
    assert marks(build_chart(orders, JUNE)) == [(1, 0, "Release 4.2"), (2, 2, "Sale")]


def test_several_annotations_in_one_period_are_merged(orders):
    for text in ("a", "b", "c"):
        annotate(text, 2)
    chart = build_chart(orders, JUNE)
    assert marks(chart) == [(1, 1, "3 annotations")]
    assert [each.text for each in chart.marks[0].annotations] == ["a", "b", "c"]


def test_the_chart_of_another_metric_lacks_what_was_annotated_on_one(orders):
    annotate("own", 2, metric=orders)
    annotate("of all", 3)
    assert [title for *_, title in marks(build_chart(orders, JUNE))] == ["own", "of all"]
    assert [title for *_, title in marks(build_chart(create_metric("Visits"), JUNE))] == ["of all"]


def test_a_period_that_has_not_begun_has_no_mark(orders):
    annotate("this hour", 20, hour=10)
    annotate("tonight", 20, hour=19)
    chart = build_chart(orders, Selection(HOUR, date(2026, 6, 20), date(2026, 6, 20)))
    assert marks(chart) == [(1, 12, "this hour")]


def test_an_hour_that_comes_twice_has_two_marks(database):
    # Not with freezegun, whose datetimes lose `fold`.
    for hour in (0, 1):
        Annotation.objects.create(text=str(hour), at=datetime(2025, 10, 26, hour, tzinfo=UTC))
    chart = build_chart(create_metric("Orders"), Selection(HOUR, date(2025, 10, 26), date(2025, 10, 26)))
    assert marks(chart) == [(1, 2, "0"), (2, 3, "1")]


def test_a_week_that_begins_before_the_first_date_has_its_annotations(orders):
    annotate("Monday", 1)
    assert marks(build_chart(orders, Selection(WEEK, date(2026, 6, 3), date(2026, 6, 14)))) == [(1, 0, "Monday")]


def test_a_mark_is_a_line_with_a_number_and_a_line_of_the_box(orders):
    annotate("Release 4.2", 1)
    chart = build_chart(orders, JUNE)
    lines, numbers = drawn(chart, "annotation")
    assert [each.tag for each in lines] == ["path"]
    assert [(each.tag, each.text) for each in numbers] == [("rect", None), ("text", "1")]
    slot = drawn(chart, "slot")[0]
    assert slot.get("aria-label").endswith("; Release 4.2")
    assert [each.text for each in slot.iter("text")][-1] == "Release 4.2"


def test_an_annotation_has_a_place_where_a_chart_has_no_number(database):
    queue = Metric.objects.create(slug="queue", name="Queue", kind="gauge")
    with freeze_time("2026-06-20"), translation.override("en"):
        gauge("queue", 3, at=datetime(2026, 6, 1, 12, tzinfo=UTC))
        annotate("Emptied", 5)
        labels = [each.get("aria-label") for each in drawn(build_chart(queue, JUNE), "slot")]
    assert labels[-1] == "Friday, 5 June 2026; Emptied"


def test_numbers_of_marks_that_are_close_together_do_not_cover_each_other(orders):
    selection = Selection(DAY, date(2025, 6, 20), date(2026, 6, 20))
    for day in range(1, 11):
        annotate(str(day), day)
    flags = [(float(each.get("x")), float(each.get("width"))) for each in drawn(build_chart(orders, selection), "flag")]
    assert 1 < len(flags) < 10
    assert all(x + width <= after for (x, width), (after, _) in pairwise(flags))
    assert len(drawn(build_chart(orders, selection), "annotation")[0]) == 10


def test_the_last_number_lies_within_the_drawing(orders):
    annotate("today", 20, hour=9)
    (flag,) = drawn(build_chart(orders, Selection(DAY, date(2025, 6, 20), date(2026, 6, 20))), "flag")
    assert float(flag.get("x")) + float(flag.get("width")) <= 960


def test_a_hostile_text_is_inert_in_the_drawing(orders):
    annotate("</text><script>alert(1)</script>\x01\u202e", 1)
    assert "<script" not in draw(build_chart(orders, JUNE))


def test_a_row_of_the_table_has_the_note_of_its_period(orders):
    annotate("Release 4.2", 2)
    chart = build_chart(orders, JUNE)
    assert [note(chart, index) for index in range(3)] == ["", "Release 4.2", ""]


def test_the_data_of_a_chart_lists_all_annotations(orders):
    annotate("a", 2)
    annotate("b", 2)
    data = chart_data(build_chart(orders, JUNE))
    assert [(each["start"], each["text"]) for each in data["annotations"]] == [("2026-06-02", "a"), ("2026-06-02", "b")]
