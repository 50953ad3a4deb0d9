"""E032 and W027 to W029: definitions that differ from each other, from the settings or from the database."""

import pytest

from app_metrics import gauge, metric
from app_metrics.checks.definitions import check_definitions, check_stored_definitions
from app_metrics.checks.templates import MOST_BYTES
from app_metrics.definitions import Counter, Gauge, Timer
from app_metrics.models import Metric
from app_metrics.models.creation import create_metric

MODELS, SIGNALS, SETS = "APP_METRICS_MODELS", "APP_METRICS_SIGNALS", "APP_METRICS_SETS"
ALERTS, MILESTONES, RATIOS = "APP_METRICS_ALERTS", "APP_METRICS_MILESTONES", "APP_METRICS_RATIOS"
CREATED = f"{MODELS}['auth.User']['created']"


def alert(**rule):
    return {"Few": {"metric": "signups", "period": "day", "below": 1, **rule}}


def on_creation(**rule):
    return {"auth.User": {"created": {"slug": "signups", **rule}}}


def set_up(settings, values):
    for name, value in values.items():
        setattr(settings, name, value)


@pytest.fixture
def defined():
    """Definitions that stay for the test."""
    return [
        Counter("signups", labels=["plan", "country"]),
        Gauge("queue_length"),
        Timer("export_seconds"),
        Counter("orders_paid"),
    ]


@pytest.mark.parametrize(
    ("values", "origin", "slug", "near"),
    [
        ({MODELS: on_creation(slug="signup")}, CREATED, "signup", "signups"),
        ({SIGNALS: {"shop.paid": []}, MODELS: on_creation(slug="order-paid")}, CREATED, "order-paid", "orders_paid"),
        ({SETS: {"Growth": {"metrics": ["signpus"]}}}, f"{SETS}['Growth']", "signpus", "signups"),
        ({ALERTS: alert(metric="Signups")}, f"{ALERTS}['Few']", "Signups", "signups"),
        ({RATIOS: {"r": {"of": "signup", "to": "orders_paid"}}}, f"{RATIOS}['r']", "signup", "signups"),
        ({MILESTONES: {"sign_ups": [1000]}}, f"{MILESTONES}['sign_ups']", "sign_ups", "signups"),
        (
            {"APP_METRICS_URLS": {"page": {"slug": "visits", "timing": "exports_seconds"}}},
            "APP_METRICS_URLS['page']",
            "exports_seconds",
            "export_seconds",
        ),
    ],
)
def test_a_slug_that_resembles_a_defined_one_is_a_warning(values, origin, slug, near, defined, settings):
    set_up(settings, values)
    (message,) = check_definitions()
    assert message.id == "app_metrics.W027"
    assert message.msg == f"{origin} has the metric {slug!r}, which is not defined; {__name__} defines {near!r}."
    assert message.hint == f"Did you mean {near!r}? If there are both, define {slug!r}, too."


@pytest.mark.parametrize(
    "tag",
    [
        '{% metric_total "signup" %}',
        "{%metric_sparkline 'signup' days=30 %}",
        '{% metric_total slug="signup" period="month" as number %}',
    ],
)
def test_a_misspelt_slug_in_a_template_is_a_warning(tag, defined, settings, tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "home.html").write_text(f'{{% load app_metrics %}}{tag}{{% metric_total "signups" %}}')
    (tmp_path / "shop" / "odd.html").write_bytes(b"\x89PNG\xff")
    (tmp_path / "site.py").write_text("TAG = \"{% metric_total 'signup' %}\"")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    (message,) = check_definitions()
    assert message.msg.startswith("The template shop/home.html has the metric 'signup', which is not defined; ")


def test_a_file_that_is_too_large_for_a_template_is_not_read(defined, settings, tmp_path):
    (tmp_path / "upload.txt").write_text('{% metric_total "signup" %}'.ljust(MOST_BYTES + 1))
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    assert check_definitions() == []


def test_a_slug_that_is_defined_too_or_that_a_rule_records_is_none(defined, settings):
    set_up(settings, {MODELS: on_creation(slug="signup"), SETS: {"Growth": {"metrics": ["signup"]}}})
    assert len(check_definitions()) == 1  # of the rule alone
    defined.append(Counter("signup"))
    assert check_definitions() == []


@pytest.mark.parametrize(
    "values",
    [
        {MODELS: on_creation(labels={"plan": "username"}, when="is_staff")},
        {MODELS: on_creation(slug="accounts", labels={"kind": "username"})},
        {SETS: {"Growth": {"metrics": ["signups", "visits", "orders_paid"]}}},
        {ALERTS: alert(labels={"plan": "pro"})},
        {"APP_METRICS_AUTH": {"events": ["signups"]}},
        {
            RATIOS: {"signup": {"of": "signups", "to": "orders_paid"}},
            ALERTS: {"Few": {"ratio": "signup", "period": "day", "below": 1}},
        },
        {MODELS: "nonsense", ALERTS: 5, SETS: None, MILESTONES: []},
    ],
)
def test_settings_that_agree_are_fine(values, defined, settings):
    set_up(settings, values)
    assert check_definitions() == []


def test_a_site_without_definitions_sees_nothing(settings):
    set_up(settings, {MODELS: on_creation(slug="signup"), SETS: {"Growth": {"metrics": ["signups"]}}})
    assert check_definitions() == []


def test_a_rule_of_another_kind_is_a_warning(defined, settings):
    set_up(settings, {MODELS: on_creation(gauge="pk")})
    (message,) = check_definitions()
    assert message.id == "app_metrics.W028"
    assert f"{CREATED} has 'signups' as a gauge; {__name__} defines it as a counter." in message.msg


def test_a_rule_with_a_unique_count_of_another_kind_is_a_warning(defined, settings):
    set_up(settings, {MODELS: on_creation(unique="pk")})
    (message,) = check_definitions()
    assert f"{CREATED} has 'signups' as a unique count; {__name__} defines it as a counter." in message.msg


@pytest.mark.parametrize(
    ("values", "origin", "hint"),
    [
        ({MODELS: on_creation(labels={"plam": "username"})}, CREATED, "Did you mean 'plan'?"),
        ({ALERTS: alert(labels={"plam": "pro"})}, f"{ALERTS}['Few']", "Did you mean 'plan'?"),
        ({MODELS: on_creation(slug="orders_paid", labels={"plam": "pk"})}, CREATED, "Define it: labels=['plam']."),
    ],
)
def test_a_label_that_is_not_defined_is_a_warning(values, origin, hint, defined, settings):
    set_up(settings, values)
    (message,) = check_definitions()
    assert (message.id, message.hint) == ("app_metrics.W029", hint)
    assert message.msg.startswith(f"{origin} has the label 'plam' of ")


def test_definitions_of_one_metric_that_differ_are_an_error(defined):
    defined.append(Counter("orders_paid", unit="EUR", labels=["plan"]))
    (message,) = check_definitions()
    assert message.id == "app_metrics.E032"
    assert message.msg == (
        f"{__name__} and {__name__} define 'orders_paid' in two ways: labels is [] and ['plan'], unit is '' and 'EUR'."
    )


def test_a_kind_that_differs_is_an_error_too(defined):
    defined.append(Gauge("orders_paid"))
    assert "kind is " in check_definitions()[0].msg


def test_equal_definitions_are_none(defined):
    defined.append(Counter("signups", labels=["country", "plan"], name="signups"))
    assert check_definitions() == []


# In the database


def test_a_recorded_slug_that_resembles_a_defined_one_is_a_warning(database, defined):
    metric("signup")
    Metric.objects.discover()
    create_metric("Signups", "signups")
    create_metric("Others", "visits")
    (message,) = check_stored_definitions([database])
    assert message.id == "app_metrics.W027"
    assert message.msg.startswith("The database has the metric 'signup', which is not defined")
    assert message.hint.endswith(" If it is left over, delete it.")


def test_a_recorded_slug_of_a_rule_is_the_business_of_the_rule(database, defined, settings):
    set_up(settings, {MODELS: on_creation(slug="signup")})
    create_metric("Signup", "signup")
    assert check_stored_definitions([database]) == []


def test_a_metric_of_another_kind_is_a_warning(database, defined):
    gauge("signups", 1)
    Metric.objects.discover()
    (message,) = check_stored_definitions([database])
    assert (message.id, "The database has 'signups' as a gauge" in message.msg) == ("app_metrics.W028", True)


def test_the_database_is_asked_only_if_it_is_checked_and_something_is_defined(
    database, defined, django_assert_num_queries
):
    create_metric("Signup", "signup")
    with django_assert_num_queries(0):
        assert check_stored_definitions(None) == check_stored_definitions(["elsewhere"]) == []
        defined.clear()
        assert check_stored_definitions([database]) == []


def test_before_migrate_nothing_is_said(empty_database, defined):
    assert check_stored_definitions(["default"]) == []
