"""Annotations in reports: those that precede or accompany a change."""

from datetime import UTC, date, datetime

import pytest

from app_metrics.models import Annotation
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.reports.content import build_report
from app_metrics.reports.rendering import render
from tests.reports.test_rendering import words
from tests.support.sample_reports import DAY, line, report

MONDAY = date(2026, 11, 16)


def annotation(text, day=16, hour=12, **fields):
    return Annotation(text=text, at=datetime(2026, 11, day, hour, tzinfo=UTC), **fields)


@pytest.fixture
def shop(database):
    metrics = [create_metric("Orders"), create_metric("Visits")]
    return create_metric_set("Shop", metrics)


@pytest.mark.parametrize(
    ("period", "days"),
    [("day", [15, 16]), ("week", [9, 14, 15, 16, 17, 22]), ("month", [1, 8, 9, 14, 15, 16, 17, 22, 23])],
)
def test_a_report_has_the_annotations_of_its_period_and_of_the_one_before(period, days, shop):
    for day in (1, 8, 9, 14, 15, 16, 17, 22, 23):
        annotation(str(day), day).save()
    found = build_report(shop, period, MONDAY).annotations
    assert [int(each.text) for each in found] == days


def test_an_annotation_of_one_metric_stands_at_its_line_alone(shop):
    orders, other = shop.metrics.get(slug="orders"), create_metric("Other")
    annotation("Sale", metric=orders).save()
    annotation("of another set", metric=other).save()
    built = build_report(shop, "day", MONDAY)
    assert built.annotations == ()
    assert [[each.text for each in each_line.annotations] for each_line in built.lines] == [["Sale"], []]


def test_both_parts_of_a_mail_name_what_happened_before_the_numbers():
    mail = render(report(line("Signups"), annotations=[annotation("Release 4.2", 15, url="https://example.com/4.2")]))
    for said in (mail.text, words(mail.html)):
        assert "Annotation, Sunday, 15 November: Release 4.2" in said
        assert said.index("Release 4.2") < said.rindex("123")
    assert "\n    https://example.com/4.2\n" in mail.text
    assert 'href="https://example.com/4.2"' in mail.html


def test_both_parts_of_a_mail_name_the_annotations_of_a_metric_beside_its_change():
    mail = render(report(line("Orders"), line("Signups", annotations=[annotation("Sale\nbegins")])))
    assert "Annotation: Monday, 16 November: Sale begins" in mail.text
    assert "Annotation Monday, 16 November: Sale begins" in words(mail.html)
    assert mail.text.index("Signups") < mail.text.index("Sale begins")


def test_a_mail_shows_the_latest_annotations_and_how_many_are_left_out():
    mail = render(report(line(), annotations=[annotation(f"Release {number}") for number in range(12)]))
    for said in (mail.text, words(mail.html)):
        assert "Release 7" in said
        assert "Release 6" not in said
        assert "… and 7 earlier annotations." in said


def test_an_annotation_is_inert_in_a_mail():
    hostile = annotation("<script>alert(1)</script>", url="javascript:alert(1)")
    html = render(report(line(annotations=[hostile]), annotations=[hostile])).html
    assert "<script" not in html
    assert "javascript:" not in html


def test_a_day_is_that_of_the_metrics_time_zone():
    assert DAY == MONDAY
    mail = render(report(line(), annotations=[annotation("Night", 15, hour=23)]))
    assert "Monday, 16 November: Night" in mail.text
