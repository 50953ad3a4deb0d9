"""Reports count everybody once in the reported period."""

import re
from datetime import datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time

from app_metrics import collect, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Metric, Total
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.reports.content import build_report
from app_metrics.reports.rendering import render
from app_metrics.trending import trending_for_metric

# A Tuesday; the latest closed week ended two days before.
NOON = datetime(2026, 11, 24, 12, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.fixture
def shop(database):
    users = create_metric(name="Active users", slug="users", kind="unique")
    with freeze_time(NOON):
        yield create_metric_set("Shop", [users], ["team@example.com"])


def come(users, days, **labels):
    with collect():
        for user in users:
            unique("users", user, labels=labels or None, at=NOON - timedelta(days=days))


def blank(text):
    return text.replace("\u00a0", " ")


def mails(shop, period):
    """Return the text of a report as it is mailed, in both forms."""
    rendered = render(build_report(shop, period))
    html = unescape(re.sub("<[^>]+>", " ", rendered.html.partition("<body")[2]))
    return [" ".join(blank(each).split()) for each in (rendered.text, html)]


@pytest.mark.parametrize("aggregated", [True, False], ids=["aggregated", "pending"])
def test_a_week_is_compared_with_the_week_before_by_distinct_counts(aggregated, shop):
    come([1, 2, 3, 1], 3), come([2, 3], 4), come([1, 2], 10), come([2], 11)
    if aggregated:
        aggregate()
    [line] = build_report(shop, "week").lines
    compared = line.trend.comparisons["before"]
    assert (line.number, compared.current, compared.base) == (3, 3, 2)


def test_mails_show_the_count_and_nothing_of_its_events(shop):
    come([1, 2, 3, 1], 1), come([1, 2], 2)
    for mail in mails(shop, "day"):
        assert "Active users" in mail
        assert "+50 %" in mail
        assert not any(word in mail for word in ("Last value", "between", "last value"))


def test_mails_and_trends_say_nothing_instead_of_the_count_of_a_damaged_sketch(shop):
    come([1, 2, 3], 1, plan="pro"), come([1, 2], 2, plan="pro"), come([8, 9], 1, plan="free")
    aggregate()
    yesterday = Total.objects.filter(period="day", start=(NOON - timedelta(days=1)).date())
    assert yesterday.filter(labels__contains="pro").update(uniques=b"nonsense") == 1
    [line] = build_report(shop, "day").lines
    assert (line.number, line.trend.comparisons["before"].verdict) == (None, "n/a")
    assert {share.value: share.number for share in line.shares} == {"free": 2, "pro": None}
    trends = trending_for_metric(line.metric)
    assert (trends["yesterday"]["yesterday"], trends["yesterday"]["previous_week"]) == (None, 0)
    for mail in mails(shop, "day"):
        assert "Active users" in mail


def test_mails_show_the_error_of_an_estimate(shop):
    come(range(1500), 1)
    for mail in mails(shop, "day"):
        assert re.search(r"about 1,[45]\d0 ± 1\.6 %", mail)


def test_mails_say_that_values_of_a_label_overlap(shop):
    come([1, 2, 3], 1, plan="pro"), come([1] * 9 + [2], 1, plan="free")
    for mail in mails(shop, "day"):
        assert "plan (values overlap)" in mail
        assert "pro 3 · free 2" in mail


def test_the_classic_dictionary_has_distinct_counts(shop):
    come([1, 2, 3, 1], 1), come([1, 2], 0)
    found = trending_for_metric(Metric.objects.get(slug="users"))
    assert (found["current_day"], found["yesterday"]["yesterday"], found["week"]["week"]) == (2, 3, 3)
