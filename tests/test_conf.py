"""Settings: one place for all defaults, read on use, under either spelling."""

from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from app_metrics import collect, metric
from app_metrics.backends import composite, console, db, dummy, locmem
from app_metrics.conf import (
    AppMetricsConf,
    backend_path,
    catch_up,
    first_weekday,
    flush_interval,
    is_strict,
    max_label_sets,
    retry_limit,
    settings,
    time_zone,
    timeout,
)
from app_metrics.core.labels import OVERFLOW_LABELS
from app_metrics.models import Item
from app_metrics.testing.recorded import capture_metrics
from app_metrics.transport.loading import get_backend

# The table in docs/settings.md shows these defaults, and a test compares the two.
DEFAULTS = AppMetricsConf._meta.defaults


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"APP_METRICS_AUTOPILOT"}))  # the test site turns it off
def test_a_default_holds_without_a_setting_and_after_an_override(name):
    assert getattr(settings, name) == DEFAULTS[name]
    with override_settings(**{name: "other"}):
        assert getattr(settings, name) == "other"
    assert getattr(settings, name) == DEFAULTS[name]


@pytest.mark.parametrize(
    ("path", "backend"),
    [
        ("app_metrics.backends.db", db.MetricsBackend),
        ("app_metrics.backends.db.MetricsBackend", db.MetricsBackend),
        ("app_metrics.backends.locmem", locmem.MetricsBackend),
        ("app_metrics.backends.console.MetricsBackend", console.MetricsBackend),
        ("app_metrics.backends.composite", composite.MetricsBackend),
    ],
)
@pytest.mark.parametrize("name", ["APP_METRICS_BACKEND", "APP_METRIC_BACKEND"])
def test_a_backend_is_named_by_its_module_or_its_class_under_either_spelling(settings, name, path, backend):
    setattr(settings, name, path)
    assert type(get_backend().backend) is backend
    assert get_backend() is get_backend()


def test_the_spelling_of_today_is_the_stronger_one(settings):
    settings.APP_METRIC_BACKEND = "app_metrics.backends.console"
    settings.APP_METRICS_BACKEND = "app_metrics.backends.dummy"
    assert backend_path() == "app_metrics.backends.dummy"


@pytest.mark.parametrize("name", ["APP_METRICS_BACKEND", "APP_METRIC_BACKEND"])
def test_the_backend_follows_an_override_and_its_end(name):
    with override_settings(**{name: "app_metrics.backends.dummy"}):
        assert type(get_backend().backend) is dummy.MetricsBackend
    assert type(get_backend().backend) is db.MetricsBackend


def test_a_backend_is_created_again_when_its_settings_change(settings):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.dummy"]
    before = get_backend()
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.locmem"]
    assert get_backend() is not before


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "'nowhere' cannot be imported"),
        ("app_metrics.backends.nowhere", "cannot be imported"),
        ("app_metrics.backends.db.Nothing", "cannot be imported"),
        ("app_metrics.core.summary.merge", "derived from app_metrics.backends.MetricsBackend"),
        ("app_metrics.core.summary", "derived from app_metrics.backends.MetricsBackend"),
    ],
)
def test_a_path_that_names_no_backend_says_so(settings, path, message):
    settings.APP_METRICS_BACKEND = path
    with pytest.raises(ImproperlyConfigured, match=message):
        get_backend()


@pytest.mark.parametrize(
    ("debug", "strict", "expected"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_strictness_follows_debug_unless_it_is_set(settings, debug, strict, expected):
    settings.DEBUG, settings.APP_METRICS_STRICT = debug, strict
    assert is_strict() is expected


@pytest.mark.parametrize(
    ("own", "project", "expected"),
    [
        (None, "Asia/Kathmandu", "Asia/Kathmandu"),
        ("America/Havana", "Asia/Kathmandu", "America/Havana"),
        ("Mars/Olympus", "Asia/Kathmandu", "Asia/Kathmandu"),
        ("../etc/passwd", "Asia/Kathmandu", "Asia/Kathmandu"),
        (7, "Asia/Kathmandu", "Asia/Kathmandu"),
    ],
)
def test_days_are_those_of_the_metrics_time_zone_or_the_projects(settings, own, project, expected):
    settings.TIME_ZONE, settings.APP_METRICS_TIME_ZONE = project, own
    assert time_zone() == ZoneInfo(expected)


@pytest.mark.parametrize(("start", "weekday"), [("monday", 1), ("sunday", 7)])
def test_a_week_begins_on_monday_or_sunday(settings, start, weekday):
    settings.APP_METRICS_WEEK_START = start
    assert first_weekday() == weekday


@pytest.mark.parametrize(
    ("name", "answer"), [("APP_METRICS_MAX_LABEL_SETS", max_label_sets), ("APP_METRICS_RETRY_LIMIT", retry_limit)]
)
def test_an_invalid_limit_is_replaced_by_its_default(settings, name, answer):
    setattr(settings, name, 7)
    assert answer() == 7
    for nonsense in (0, -1, None, "7", True, 1.5):
        setattr(settings, name, nonsense)
        assert answer() == DEFAULTS[name]


def test_values_are_read_when_they_are_used(settings):
    with capture_metrics() as recording:
        for limit in (1, 2):
            settings.APP_METRICS_MAX_LABEL_SETS = limit
            with collect():
                for value in "abc":
                    metric(f"limit_{limit}", labels={"k": value})
        settings.APP_METRICS_DISABLED = True
        metric("disabled")
        settings.APP_METRICS_DISABLED = False
        metric("enabled")
    kept = {limit: recording.total(f"limit_{limit}", {"overflow": "true"}) for limit in (1, 2)}
    assert (OVERFLOW_LABELS, kept) == ('{"overflow":"true"}', {1: 2, 2: 1})
    assert recording.slugs == ["enabled", "limit_1", "limit_2"]


@pytest.mark.django_db
def test_an_unusable_backend_never_breaks_the_caller(settings, caplog):
    settings.APP_METRICS_BACKEND = "nowhere"
    metric("x", 3)
    assert "'nowhere' cannot be imported" in caplog.text
    settings.APP_METRICS_BACKEND = "app_metrics.backends.db"
    metric("y")
    dropped = Item.objects.get(slug="app_metrics_dropped")
    assert (dropped.labels, dropped.total) == ('{"reason":"no_backend"}', 1)


@pytest.mark.parametrize("value", [0, -1, "1", None, True, float("nan")])
def test_a_bad_number_of_seconds_counts_as_the_default(settings, value):
    settings.APP_METRICS_TIMEOUT = settings.APP_METRICS_FLUSH_INTERVAL = value
    assert timeout() == 0.25
    assert flush_interval() == 0


@pytest.mark.parametrize("excess", [0, 1, 10**9])
def test_a_number_above_the_largest_counts_as_the_largest(settings, excess):
    settings.APP_METRICS_CATCH_UP, settings.APP_METRICS_TIMEOUT = 366 + excess, 60 + excess
    settings.APP_METRICS_FLUSH_INTERVAL = 3600 + float(excess)
    assert (catch_up(), timeout(), flush_interval()) == (366, 60, 3600)


def test_seconds_may_be_parts_of_one(settings):
    settings.APP_METRICS_TIMEOUT, settings.APP_METRICS_FLUSH_INTERVAL = 0.5, 1
    assert (timeout(), flush_interval()) == (0.5, 1)
