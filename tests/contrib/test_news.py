"""Good news and bad news: the colour of a change."""

import pytest

from app_metrics.contrib.news import news
from tests.support.sample_reports import comparison

# The settings, a metric that they count, and whether a rise of it is good news.
COUNTED = [
    ({}, "orders", "up"),
    ({}, "app_metrics_dropped", "down"),
    ({"APP_METRICS_AUTH": True}, "logins", "up"),
    ({"APP_METRICS_AUTH": True}, "failed_logins", "down"),
    ({"APP_METRICS_SIGNALS": {"django.core.signals.got_request_exception": "server_errors"}}, "server_errors", "down"),
    ({"APP_METRICS_URLS": {"page": {"slug": "errors", "status": ["4xx", 500]}}}, "errors", "down"),
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
    assert news(comparison(2, 1), slug) == expected
    assert news(comparison(1, 2), slug) == {"up": "down", "down": "up"}[expected]


@pytest.mark.parametrize(("kind", "expected"), [("timer", "down"), ("gauge", "")])
def test_a_rise_of_a_timer_is_bad_news_and_one_of_a_gauge_neither(kind, expected):
    assert news(comparison(2, 1, kind), "answers") == expected


@pytest.mark.parametrize("base", [1, 0], ids=["the same", "nothing before"])
def test_no_change_is_no_news(base):
    assert news(comparison(1, base), "orders") == ""
