"""The classic door: calls with arguments of the first django-app-metrics are understood, or say what to write."""

import logging
from datetime import UTC, date, datetime

import pytest

from app_metrics.testing.recorded import capture_metrics
from app_metrics.utils import collection_disabled, gauge, metric

OLD = [
    (metric, "properties", {"plan": "pro"}, 'Write labels={"…": "…"}'),
    (metric, "backends", ["app_metrics.backends.statsd"], "APP_METRICS_COMPOSITE_BACKENDS"),
    (metric, "created", datetime(2026, 3, 1, 12, tzinfo=UTC), "Write at=…"),
    (metric, "name", "Signups", "create_metric()"),
    (metric, "source", "web", "Remove it"),
    (gauge, "created", datetime(2026, 3, 1, 12, tzinfo=UTC), "Write at=…"),
    (gauge, "properties", {"plan": "pro"}, 'Write labels={"…": "…"}'),
]
every_old_argument = pytest.mark.parametrize(("record", "name", "value", "remedy"), OLD)


@every_old_argument
def test_an_argument_that_is_gone_is_refused_with_what_to_write_instead(record, name, value, remedy, settings):
    settings.APP_METRICS_STRICT = True
    with capture_metrics() as recording, pytest.raises(TypeError) as caught:
        record("fuel", 3, **{name: value})
    assert f"{record.__name__}('fuel') has no argument '{name}'" in str(caught.value)
    assert remedy in str(caught.value)
    assert recording.slugs == []


@every_old_argument
def test_a_site_goes_on_counting_and_logs_the_argument(record, name, value, remedy, settings, caplog):
    settings.APP_METRICS_STRICT = False
    with capture_metrics() as recording:
        record("fuel", 3, **{name: value})
        record("fuel", 4, **{name: value})
    assert recording.slugs == ["fuel"]
    assert recording.total("fuel", {}) == 7
    (logged,) = caplog.records
    assert logged.levelno == logging.WARNING
    assert remedy in logged.getMessage()


@pytest.mark.parametrize("record", [metric, gauge])
def test_an_event_counts_when_it_was_created(record, settings):
    settings.APP_METRICS_STRICT = False
    with capture_metrics() as recording:
        record("fuel", 3, created=datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert [key.day for batch in recording.batches for key in batch.summaries] == [date(2026, 3, 1)]


def test_nothing_is_refused_while_collection_is_disabled(settings):
    settings.APP_METRICS_STRICT = settings.APP_METRICS_DISABLED = True
    with capture_metrics() as recording:
        metric("fuel", properties={"plan": "pro"})
        gauge("fuel", 3, properties={"plan": "pro"})
    assert recording.slugs == []


def test_arguments_that_exist_are_passed_on():
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with capture_metrics() as recording:
        metric("fuel", 3, labels={"plan": "pro"}, at=moment, on_commit=False)
        gauge(slug="level", current_value="2.5", labels={"plan": "pro"}, at=moment)
    assert recording.total("fuel", {"plan": "pro"}) == 3
    assert recording.summary("level", {"plan": "pro"}).last == 2.5
    assert {key.day for batch in recording.batches for key in batch.summaries} == {date(2026, 3, 1)}


@pytest.mark.parametrize("name", ["value", "current_value"])
def test_a_gauge_takes_its_value_under_the_old_and_the_new_name(name):
    with capture_metrics() as recording:
        gauge("level", **{name: 3})
    assert recording.summary("level").last == 3


def test_a_gauge_without_a_value_raises_only_where_mistakes_do(settings):
    settings.APP_METRICS_STRICT = False
    gauge("level")
    settings.APP_METRICS_STRICT = True
    with pytest.raises(TypeError, match="None"):
        gauge("level")


@pytest.mark.parametrize("disabled", [True, False])
def test_collection_disabled_tells_what_the_setting_says(disabled, settings):
    settings.APP_METRICS_DISABLED = disabled
    assert collection_disabled() is disabled
