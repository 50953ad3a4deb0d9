"""APP_METRICS_RELEASE: an aggregation annotates each new release once."""

import logging
import threading
from datetime import UTC, datetime

import pytest
from django.core.checks import run_checks
from django.db import connections
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.aggregation import releases
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Annotation

NOON = datetime(2026, 11, 23, 11, tzinfo=UTC)
# What a path may lead to.
VERSION = "7.1"


def current():
    return "7.2"


def failing():
    raise RuntimeError("no git here")


def annotated():
    return list(Annotation.objects.order_by("pk").values_list("text", flat=True))


@pytest.mark.every_database
def test_a_new_release_is_annotated_once_by_the_aggregation_that_first_sees_it(database, settings):
    settings.APP_METRICS_RELEASE = "4.2"
    with freeze_time(NOON):
        aggregate()
    with freeze_time("2026-11-24"):
        aggregate()
    made = Annotation.objects.get()
    assert (made.text, made.moment, made.metric) == ("Release 4.2", NOON, None)
    settings.APP_METRICS_RELEASE = "4.3"
    aggregate()
    assert annotated() == ["Release 4.2", "Release 4.3"]


def test_a_release_that_ran_before_is_not_annotated_again(database, settings):
    """While machines change to a release, aggregations of both releases run by turns."""
    for release in ("4.2", "4.3", "4.2", "4.3"):
        settings.APP_METRICS_RELEASE = release
        aggregate()
    assert annotated() == ["Release 4.2", "Release 4.3"]


def test_the_annotation_of_the_release_that_runs_may_be_edited_and_comes_again_if_it_is_deleted(database, settings):
    settings.APP_METRICS_RELEASE = "4.2"
    aggregate()
    Annotation.objects.update(text="Spring release")
    aggregate()
    assert annotated() == ["Spring release"]
    Annotation.objects.all().delete()
    aggregate()
    assert annotated() == ["Release 4.2"]


@pytest.mark.every_database
def test_many_aggregations_at_the_same_moment_annotate_a_release_once(transactional_database, settings, monkeypatch):
    settings.APP_METRICS_RELEASE = "4.2"
    annotate, missing, failures = releases._annotate, threading.Barrier(4, timeout=60), []

    def annotate_together(release):
        missing.wait()  # until all have found that it is missing
        annotate(release)

    monkeypatch.setattr(releases, "_annotate", annotate_together)

    def run():
        try:
            aggregate()
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert annotated() == ["Release 4.2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("4.2", "Release 4.2"),
        ("3f9a2c1", "Release 3f9a2c1"),
        (current, "Release 7.2"),
        (f"{__name__}.current", "Release 7.2"),
        (f"{__name__}.VERSION", "Release 7.1"),
    ],
)
def test_a_release_is_a_text_a_callable_or_the_path_of_either(value, text, database, settings):
    settings.APP_METRICS_RELEASE = value
    assert not [each for each in run_checks() if "RELEASE" in each.msg]
    aggregate()
    assert annotated() == [text]


@pytest.mark.parametrize("value", ["", " ", "x" * 101, "a\nb", 4.2, "tests.nowhere.current", f"{__name__}.NOON", b"4"])
def test_an_impossible_release_is_reported_by_check_and_annotates_nothing(value, database, settings):
    settings.APP_METRICS_RELEASE = value
    (found,) = (each for each in run_checks() if "APP_METRICS_RELEASE" in each.msg)
    assert found.id == "app_metrics.E010"
    assert "a callable that returns one" in found.hint
    aggregate()
    assert annotated() == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (failing, "raised an error"),
        (lambda: 42, "returned 42; return a text of 1 to 100 characters"),
        (lambda: "", "''"),
    ],
)
def test_a_callable_that_fails_is_logged_and_the_aggregation_counts(value, said, database, settings, caplog):
    settings.APP_METRICS_RELEASE = value
    metric("orders")
    with caplog.at_level(logging.ERROR, logger="app_metrics"):
        assert aggregate().items == 1
    assert annotated() == []
    (record,) = (each for each in caplog.records if "APP_METRICS_RELEASE" in each.getMessage())
    assert said in record.getMessage()


def test_a_callable_may_know_no_release(database, settings, caplog):
    settings.APP_METRICS_RELEASE = lambda: None
    aggregate()
    assert annotated() == []
    assert "RELEASE" not in caplog.text


def test_without_a_release_annotations_cost_no_query(database):
    with CaptureQueriesContext(connections[database]) as queries:
        aggregate()
    assert not [each for each in queries if "annotation" in each["sql"]]


def test_the_text_is_in_the_language_of_the_site(database, settings):
    settings.LANGUAGE_CODE, settings.APP_METRICS_RELEASE = "fr", "4.2"
    aggregate()
    assert annotated() == ["Version 4.2"]
