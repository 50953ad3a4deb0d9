"""Mistakes in `APP_METRICS_RATIOS` are reported with a hint, and cost only the ratio that has them."""

import pytest
from django.core.checks import WARNING, Tags, run_checks

from app_metrics import metric
from app_metrics.definitions import Counter
from app_metrics.ratios.declared import compile_ratios, ratios

GOOD = {"of": "checkouts", "to": "visits"}


def reported(databases=()):
    # Django's own check of a JSONField may ask the database, which most of these tests must not use.
    found = run_checks(tags=["app_metrics", Tags.database] if databases else ["app_metrics"], databases=databases)
    return [each for each in found if each.id in ("app_metrics.E031", "app_metrics.W025")]


@pytest.mark.parametrize(
    ("ratio", "message", "hint"),
    [
        ("checkouts", "is 'checkouts', which is not a mapping", "Write it like this"),
        ({"of": "checkouts"}, "lacks 'to'", "Write it like this"),
        ({"to": "visits"}, "lacks 'of'", "Write it like this"),
        ({**GOOD, "uint": "EUR"}, "has the unknown key 'uint'", "Did you mean 'unit'?"),
        ({**GOOD, "as": "percentage"}, "has as='percentage'", "Did you mean 'percent'?"),
        ({**GOOD, "better": "more"}, "has better='more'", "Choose one of down, neither, up."),
        ({**GOOD, "unit": 5}, "has unit=5", "Give a text of at most 30 characters."),
        ({**GOOD, "unit": "€", "as": "percent"}, "has unit='€' and is a percentage", "Remove the unit: it is %."),
        ({**GOOD, "of": "check outs"}, "['of'] has a bad slug", "Use a slug such as 'check-outs'."),
        ({**GOOD, "of": 5}, "['of'] is 5, which is not a mapping", "Write it like this"),
        ({**GOOD, "to": {"labels": {}}}, "['to'] lacks 'slug'", "Write it like this"),
        ({**GOOD, "to": {"slug": "visits", "label": {}}}, "['to'] has the unknown key 'label'", "'labels'"),
        (
            {**GOOD, "to": {"slug": "visits", "field": "median"}},
            "['to'] has field='median'",
            "Choose one of count, p50,",
        ),
        ({**GOOD, "to": {"slug": "visits", "field": "p96"}}, "['to'] has field='p96'", "Did you mean 'p9"),
        ({**GOOD, "of": {"slug": "a", "labels": {"status": 500}}}, "['of'] has labels=", "str"),
        ({**GOOD, "of": "good"}, "divides the ratio 'good'", "Name two metrics"),
        ({**GOOD, "to": "bad"}, "divides the ratio 'bad'", "Name two metrics"),
    ],
)
def test_a_mistake_has_a_message_with_a_hint_and_leaves_the_other_ratios(settings, ratio, message, hint):
    settings.APP_METRICS_RATIOS = {"bad": ratio, "good": GOOD}
    [found] = reported()
    assert found.id == "app_metrics.E031"
    assert found.msg.startswith("APP_METRICS_RATIOS['bad']")
    assert message in found.msg
    assert hint in found.hint
    assert list(ratios()) == ["good"]


@pytest.mark.parametrize(
    ("value", "message"), [([], "not a mapping"), ({5: GOOD}, "not a str"), ({"a b": GOOD}, "slug")]
)
def test_the_setting_maps_slugs_to_ratios(value, message):
    found, [mistake] = compile_ratios(value)
    assert found == {}
    assert message in str(mistake)


def test_two_ratios_of_each_other_are_two_mistakes(settings):
    settings.APP_METRICS_RATIOS = {"a": {"of": "b", "to": "visits"}, "b": {"of": "a", "to": "visits"}}
    assert len(reported()) == 2
    assert ratios() == {}


@pytest.mark.urls("tests.support.rule_urls")
@pytest.mark.parametrize("rule", ["conversion", {"slug": "visits", "timing": "conversion"}])
def test_a_ratio_may_not_have_the_name_of_a_metric_that_a_rule_counts(settings, rule):
    settings.APP_METRICS_URLS = {"page": rule}
    settings.APP_METRICS_RATIOS = {"conversion": GOOD}
    [found] = reported()
    assert (found.id, found.msg) == ("app_metrics.E031", "APP_METRICS_RATIOS['conversion'] has the name of a metric.")


@pytest.mark.parametrize(
    ("setting", "value", "message", "hint"),
    [
        (
            "APP_METRICS_SETS",
            {"Shop": {"metrics": ["visits", "conversion"]}},
            "is among the metrics of APP_METRICS_SETS['Shop'].",
            "Name it under 'ratios' there.",
        ),
        (
            "APP_METRICS_ALERTS",
            {"Few": {"metric": "conversion", "period": "day", "below": 2}},
            "is the metric of APP_METRICS_ALERTS['Few'].",
            "Write 'ratio' instead of 'metric' there.",
        ),
    ],
)
def test_a_ratio_in_the_place_of_a_metric_is_a_mistake(settings, setting, value, message, hint):
    settings.APP_METRICS_RATIOS = {"conversion": GOOD}
    setattr(settings, setting, value)
    [found] = reported()
    assert (found.id, found.hint) == ("app_metrics.E031", hint)
    assert found.msg == f"APP_METRICS_RATIOS['conversion'] {message}"


def test_a_ratio_may_not_have_the_name_of_a_metric_that_was_recorded(database, settings):
    settings.APP_METRICS_RATIOS = {"visits_per_user": {"of": "visits", "to": "users"}}
    for slug in ("visits", "users", "visits_per_user"):
        metric(slug)
    assert reported() == []
    [found] = reported(databases=[database])
    assert found.msg == "APP_METRICS_RATIOS['visits_per_user'] has the name of a metric."


def test_a_slug_that_nothing_counts_is_a_warning_with_a_similar_one(database, settings):
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkuots", "to": "visits"}}
    settings.APP_METRICS_AUTH = {"events": ["signups"]}
    metric("checkouts")
    metric("visits")
    [found] = reported(databases=[database])
    assert (found.id, found.level) == ("app_metrics.W025", WARNING)
    assert "'checkuots', for which there is no rule and nothing was recorded" in found.msg
    assert found.hint == "Did you mean 'checkouts'? If the slug is right, this warning ends with its first event."
    settings.APP_METRICS_RATIOS = {"conversion": {"of": "checkouts", "to": "signups"}}
    assert reported(databases=[database]) == []


@pytest.mark.urls("tests.support.rule_urls")
def test_a_slug_that_a_rule_times_or_the_code_defines_is_none(database, settings):
    settings.APP_METRICS_URLS = {"page": {"slug": "visits", "timing": "page_seconds"}}
    settings.APP_METRICS_RATIOS = {"mean": {"of": "page_seconds", "to": "visits"}}
    assert reported(databases=[database]) == []
    signups = Counter("signups")
    settings.APP_METRICS_RATIOS = {"conversion": {"of": signups.slug, "to": "visits"}}
    assert reported(databases=[database]) == []
