"""`{% metric_total %}` and `{% metric_sparkline %}` in a project's own templates."""

import re
from datetime import datetime, timedelta
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.db import OperationalError, connections
from django.template import Context, Template
from django.utils import translation
from freezegun import freeze_time

from app_metrics import collect, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.core import dropped
from app_metrics.core.summary import TIMER
from app_metrics.models import Metric
from app_metrics.models.creation import create_metric
from app_metrics.recording.metrics import record

NOON = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.fixture
def history(database):
    cache.clear()
    with freeze_time(NOON) as clock:
        with collect():
            for days in range(40):
                metric("downloads", 1000 + days, at=NOON - timedelta(days=days))
            gauge("queue", 7, at=NOON - timedelta(days=1))
        aggregate()
        yield clock
    cache.clear()


def render(tag):
    return Template("{% load app_metrics %}{% " + tag + " %}").render(Context())


def test_the_total_of_today_is_the_default_and_includes_pending_items(history):
    metric("downloads", 34)
    assert render('metric_total "downloads"') == "1,034"


@pytest.mark.parametrize(("period", "total"), [("week", "1,000"), ("month", "23,253"), ("year", "40,780")])
def test_a_longer_period_can_be_asked_for(period, total, history):
    assert render(f'metric_total "downloads" period="{period}"') == total


def test_a_total_has_its_unit_and_the_language_of_the_page(history):
    Metric.objects.filter(slug="downloads").update(unit="<b>")
    with translation.override("de"):
        assert render('metric_total "downloads"') == "1.000\u00a0&lt;b&gt;"


def test_a_percentile_includes_pending_numbers_and_has_the_unit_of_a_duration(history):
    for seconds in (1, 1, 1, 2):
        record("export", TIMER, seconds)
        aggregate()
    record("export", TIMER, 3, at=NOON - timedelta(days=1))
    assert render('metric_percentile "export" 75') == "1\u00a0s"
    assert render('metric_percentile "export"') == "2\u00a0s"
    assert render('metric_percentile "export" period="year"') == "3\u00a0s"


@pytest.mark.parametrize("slug", ["downloads", "unknown"])
def test_a_metric_without_percentiles_shows_a_dash(slug, history):
    assert render(f'metric_percentile "{slug}"') == "–"


def test_a_gauge_without_a_value_today_is_a_dash(history):
    assert render('metric_total "queue"') == "–"


def test_a_metric_that_is_not_there_yet_is_zero_and_has_no_line(history):
    assert render('metric_total "uploads"') == "0"
    assert render('metric_sparkline "uploads"') == ""


def test_a_database_that_fails_breaks_no_page_and_nothing_is_kept(history, database, caplog, monkeypatch):
    monkeypatch.setattr(dropped, "_causes", {})

    def fail(*arguments):
        raise OperationalError("gone")

    with connections[database].execute_wrapper(fail):
        assert [render('metric_total "downloads"'), render('metric_sparkline "downloads"')] == ["", ""]
    assert "{% metric_total %} shows nothing: OperationalError('gone')" in caplog.messages
    assert render('metric_total "downloads"') == "1,000"


def test_a_total_of_no_metric_is_logged_once_by_slug(history, caplog, monkeypatch):
    monkeypatch.setattr(dropped, "_causes", {})
    for slug in ("downlaods", "uploads", "downlaods", "downloads"):
        render(f'metric_total "{slug}"')
        cache.clear()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "There is no metric 'downlaods' yet; {% metric_total %} shows 0."),
        ("WARNING", "There is no metric 'uploads' yet; {% metric_total %} shows 0."),
    ]


def test_a_second_rendering_within_a_minute_makes_no_query(history, database, django_assert_num_queries):
    tags = 'metric_total "downloads" %}{% metric_sparkline "downloads" %}{% metric_total "queue"'
    first = render(tags)
    with django_assert_num_queries(0, using=database):
        assert render(tags) == first


def test_after_a_minute_and_after_midnight_it_is_looked_up_again(history):
    render('metric_total "downloads"')
    metric("downloads", 5)
    assert render('metric_total "downloads"') == "1,000"
    history.tick(timedelta(seconds=61))
    assert render('metric_total "downloads"') == "1,005"
    history.move_to(datetime(2026, 11, 23, 23, 59, 50, tzinfo=ZoneInfo("Europe/Berlin")))
    render('metric_total "downloads"')
    history.tick(timedelta(seconds=20))
    assert render('metric_total "downloads"') == "0"


def test_a_sparkline_is_an_image_with_a_text_and_needs_no_style_or_script(history):
    text = render('metric_sparkline "downloads" days=3')
    svg = ElementTree.fromstring(text)
    assert (svg.tag, svg.get("role")) == ("svg", "img")
    assert svg.get("aria-label") == "downloads, last 3 days; today 1,000"
    assert not re.search(r"style=|<style|<script|href|http", text)
    line = svg.find("polyline")
    # From left to right: 1002, 1001 and 1000, of a maximum of 1002.
    assert line.get("points") == "1.0,1.0 50.0,1.0 99.0,1.0"


def test_a_sparkline_starts_at_zero_and_omits_missing_values(history):
    gauge("queue", 14)
    line = ElementTree.fromstring(render('metric_sparkline "queue" days=3')).find("polyline")
    assert line.get("points") == "50.0,10.0 99.0,1.0"


def test_negative_numbers_lie_below_zero(history):
    metric("balance", -5, at=NOON - timedelta(days=1))
    metric("balance", 5)
    aggregate()
    line = ElementTree.fromstring(render('metric_sparkline "balance" days=3')).find("polyline")
    assert line.get("points") == "1.0,10.0 50.0,19.0 99.0,1.0"


def test_a_name_with_markup_is_inert(history):
    create_metric('"><script>alert(1)</script>', "evil")
    metric("evil")
    text = render('metric_sparkline "evil"')
    assert "<script" not in text
    assert ElementTree.fromstring(text).get("aria-label").startswith('"><script>alert(1)</script>, last')


@pytest.mark.parametrize(
    "tag",
    [
        'metric_total "downloads" period="hour"',
        'metric_total "downloads" period="decade"',
        'metric_total "down loads"',
        'metric_sparkline "downloads" days=1',
        'metric_sparkline "downloads" days=367',
        'metric_sparkline "downloads" days="30"',
    ],
)
def test_a_mistake_in_a_tag_raises_with_an_explanation(tag, history):
    with pytest.raises(ValueError, match=r"choose one of|is not a slug|draws 2 to 366 days"):
        render(tag)


@pytest.fixture
def share(history, settings):
    settings.APP_METRICS_RATIOS = {"share": {"of": "queue", "to": "downloads", "as": "percent"}, "bad": {"of": "queue"}}


def test_a_ratio_of_a_period_has_its_unit(share):
    gauge("queue", 25)
    assert render('metric_ratio "share"') == "2.5\u00a0%"
    assert render('metric_ratio "share" period="month"') == "0.138\u00a0%"
    with translation.override("de"):
        assert render('metric_ratio "share"') == "2,5\u00a0%"


def test_a_ratio_without_a_denominator_is_not_available(share, settings):
    settings.APP_METRICS_RATIOS = {"share": {"of": "queue", "to": "nothing"}}
    assert render('metric_ratio "share"') == "n/a"


@pytest.mark.parametrize(("name", "problem"), [("shore", "Did you mean 'share'"), ("bad", "lacks 'to'")])
def test_a_ratio_that_is_not_there_or_has_a_mistake_is_a_warning_and_no_error(
    share, caplog, monkeypatch, name, problem
):
    monkeypatch.setattr(dropped, "_causes", {})
    assert render(f'metric_ratio "{name}"') == "n/a"
    assert problem in caplog.text


def test_a_ratio_of_an_unknown_period_is_an_error(share):
    with pytest.raises(ValueError, match="metric_ratio does not support the period 'hour'"):
        render('metric_ratio "share" period="hour"')


def test_a_ratio_has_a_sparkline(share):
    svg = ElementTree.fromstring(render('metric_sparkline "share" days=7'))
    assert svg.get("aria-label") == "share, last 7 days; today 0\u00a0%"
    assert svg.find("polyline").get("points").count(",") == 7


def test_a_ratio_is_cached_for_a_minute(share):
    assert render('metric_ratio "share"') == "0\u00a0%"
    gauge("queue", 25)
    assert render('metric_ratio "share"') == "0\u00a0%"
