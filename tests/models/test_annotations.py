"""Annotations as rows: their dates, their metrics, and what a page may link to."""

from datetime import UTC, date, datetime

import pytest
from django.core.exceptions import ValidationError

from app_metrics.core.periods import DAY, HOUR, WEEK
from app_metrics.models import Annotation, annotations
from app_metrics.models.creation import create_annotation, create_metric

DAY_OF_25_HOURS = date(2026, 10, 25)


def texts(found):
    return [each.text for each in found]


def at(text, hour, day=25, month=10):
    return Annotation.objects.create(text=text, at=datetime(2026, month, day, hour, tzinfo=UTC))


@pytest.mark.every_database
def test_a_date_begins_and_ends_at_midnight_in_the_metrics_time_zone(database):
    at("before", 21, day=24)
    at("first", 22, day=24)
    at("last", 22)
    at("after", 23)
    found = Annotation.objects.within(DAY_OF_25_HOURS, DAY_OF_25_HOURS).latest_of([])
    assert texts(found) == ["first", "last"]


def test_a_metric_has_its_own_annotations_and_those_of_all_metrics(database):
    orders, visits = create_metric("Orders"), create_metric("Visits")
    for metric in (orders, visits, None):
        Annotation.objects.create(text=str(metric), metric=metric)
    assert sorted(texts(Annotation.objects.latest_of([orders]))) == ["None", "Orders"]


def test_a_reading_takes_the_latest_ones_oldest_first(database, monkeypatch):
    monkeypatch.setattr(annotations, "MOST_READ", 2)
    for hour in (3, 1, 2):
        at(str(hour), hour)
    assert texts(Annotation.objects.latest_of([])) == ["2", "3"]


@pytest.mark.parametrize(
    ("period", "start"),
    [(HOUR, "2026-10-25T02:00:00+01:00"), (DAY, "2026-10-25"), (WEEK, "2026-10-19")],
)
def test_data_names_the_period_that_an_annotation_lies_in(period, start, database):
    made = create_annotation("Release", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "https://example.com/")
    assert made.as_data(period) == {
        "at": "2026-10-25T02:30:00+01:00",
        "start": start,
        "text": "Release",
        "url": "https://example.com/",
    }


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//example.com/", "ftp://example.com/", "http://", "https://a b"]
)
def test_only_addresses_of_pages_are_valid_and_linked(url):
    made = Annotation(text="x", url=url)
    with pytest.raises(ValidationError, match="begins with http:// or https://"):
        made.clean_fields()
    assert made.link == ""


def test_deleting_a_metric_deletes_its_annotations(database):
    orders = create_metric("Orders")
    Annotation.objects.create(text="own", metric=orders)
    at("of all", 1)
    orders.delete()
    assert texts(Annotation.objects.all()) == ["of all"]
