"""Good news and bad news: the colour of a change."""

import pytest

from app_metrics.contrib.news import better_of, news
from app_metrics.contrib.url_rules import compile_urls
from app_metrics.models import Metric
from tests.support.sample_reports import comparison


def counting(slug, **fields):
    return Metric(slug=slug, **fields)


# The settings, a metric that they count, and whether a rise of it is good news.
COUNTED = [
    ({}, "orders", "up"),
    ({}, "app_metrics_dropped", "down"),
    ({"APP_METRICS_AUTH": True}, "logins", "up"),
    ({"APP_METRICS_AUTH": True}, "failed_logins", "down"),
    ({"APP_METRICS_SIGNALS": {"django.core.signals.got_request_exception": "server_errors"}}, "server_errors", "down"),
    ({"APP_METRICS_URLS": {"page": {"slug": "errors", "status": ["4xx", 500]}}}, "errors", "down"),
    ({"APP_METRICS_URLS": {"page": {"slug": "users", "unique": "request.user.pk"}}}, "users", "up"),
    ({"APP_METRICS_URLS": {"page": {"slug": "sad", "unique": "request.user.pk", "status": ["5xx"]}}}, "sad", "down"),
    ({"APP_METRICS_URLS": {"page": {"slug": "answers", "status": ["2xx", "4xx"]}}}, "answers", "up"),
    ({"APP_METRICS_URLS": {"page": ["hits", {"slug": "hits", "status": ["5xx"]}]}}, "hits", "up"),
    (
        {
            "APP_METRICS_URLS": {"page": {"slug": "errors", "status": ["5xx"]}},
            "APP_METRICS_MODELS": {"testapp.Order": {"created": "errors"}},
        },
        "errors",
        "up",
    ),
]


@pytest.mark.parametrize(("chosen", "slug", "expected"), COUNTED)
def test_a_rise_of_a_counter_is_good_news_unless_it_counts_failures(chosen, slug, expected, settings):
    for name, value in chosen.items():
        setattr(settings, name, value)
    assert news(comparison(2, 1), counting(slug)) == expected
    assert news(comparison(1, 2), counting(slug)) == {"up": "down", "down": "up"}[expected]


@pytest.mark.parametrize(("kind", "expected"), [("timer", "down"), ("gauge", "")])
def test_a_rise_of_a_timer_is_bad_news_and_one_of_a_gauge_neither(kind, expected):
    assert news(comparison(2, 1, kind), counting("answers", kind=kind)) == expected


@pytest.mark.parametrize("base", [1, 0], ids=["the same", "nothing before"])
def test_no_change_is_no_news(base):
    assert news(comparison(1, base), counting("orders")) == ""


@pytest.mark.parametrize("kind", ["counter", "gauge", "timer"])
@pytest.mark.parametrize(("better", "expected"), [("up", "up"), ("down", "down"), ("neither", "")])
def test_a_metric_may_say_what_is_better(kind, better, expected):
    assert news(comparison(2, 1, kind), counting("orders", kind=kind, better=better)) == expected


RULE = {"slug": "seen", "better": "down"}


@pytest.mark.parametrize(
    "rules",
    [
        {"APP_METRICS_URLS": {"page": RULE}},
        {"APP_METRICS_MODELS": {"testapp.Order": {"created": RULE}}},
        {"APP_METRICS_SIGNALS": {"django.core.signals.request_finished": RULE}},
        {"APP_METRICS_WEBSOCKETS": {"ws/": RULE}},
        {"APP_METRICS_URLS": {"page": ["seen", RULE, {**RULE, "better": "up"}]}},
    ],
)
def test_a_rule_may_say_what_is_better_unless_the_metric_does(rules, settings):
    for name, value in rules.items():
        setattr(settings, name, value)
    assert better_of(counting("seen")) == "down"
    assert better_of(counting("seen", better="up")) == "up"
    assert better_of(counting("other")) == "up"


def test_a_rule_says_it_of_its_own_metric_and_not_of_its_timer(settings):
    settings.APP_METRICS_URLS = {"page": {"slug": "visits", "timing": "page_seconds", "better": "neither"}}
    assert better_of(counting("visits")) == "neither"
    assert better_of(counting("page_seconds", kind="timer")) == "down"


def test_a_metric_that_says_something_else_as_after_loaddata_has_neither_good_nor_bad_news():
    assert better_of(counting("orders", better="dwon")) == "neither"


def test_a_rule_that_says_something_else_is_a_mistake():
    (mistake,) = compile_urls({"page": {"slug": "visits", "better": "dwon"}})[1]
    assert "has better='dwon'" in str(mistake)
    assert mistake.hint == "Did you mean 'down'?"
