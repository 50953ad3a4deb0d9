"""The tags of a project's own templates, and the list of metrics, show how many different ones there were."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.cache import cache
from django.template import Context, Template
from freezegun import freeze_time

from app_metrics import collect, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Metric

# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.fixture
def noon(database):
    cache.clear()
    with freeze_time(NOW):
        yield


def come(users, days=0):
    with collect():
        for user in users:
            unique("users", user, at=NOW - timedelta(days=days))
    aggregate()


def rendered(tag):
    return Template(f"{{% load app_metrics %}}{{% {tag} %}}").render(Context())


def test_metric_total_shows_the_distinct_count_of_the_period(noon):
    come([1, 1, 2]), come([2, 3], 1)
    assert (rendered('metric_total "users"'), rendered('metric_total "users" "week"')) == ("2", "3")


def test_metric_total_shows_the_error_of_an_estimate(noon):
    come(range(1500))
    assert rendered('metric_total "users"').startswith("about\u00a01,")


def test_metric_sparkline_draws_distinct_counts(noon):
    come([1, 1, 2])
    assert "users, last 7 days; today 2" in rendered('metric_sparkline "users" 7')


def test_sums_of_a_unique_count_are_its_events(noon):
    come([1, 1, 2]), come([2, 3], 1)
    users = Metric.objects.with_total("week").get(slug="users")
    assert (users.total("week"), users.period_total) == (5, 5)


def test_the_list_of_metrics_shows_distinct_counts(noon, admin_client):
    come([1, 1, 2]), come([2, 3], 1)
    shown = admin_client.get("/admin/app_metrics/metric/").content.decode()
    assert 'field-today">2<' in shown.replace("field-day", "field-today")
