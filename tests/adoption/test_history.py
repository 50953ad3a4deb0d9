"""The history of three years, with all flaws, on a whole old database."""

from collections import Counter
from datetime import date
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse

from app_metrics.core.periods import MONTH, WEEK, YEAR
from app_metrics.models import Metric, Total
from tests.support import scope
from tests.support.old_site import FORK, PRUNED, SOUTH, OldSite


@pytest.fixture(params=(SOUTH, FORK) if scope.everything else (FORK,))
def three_years(request, old_database):
    return OldSite(old_database.alias, request.param).build()


def totals(metric, period):
    days = Total.objects.filter(metric=metric, period=period).values_list("start", "total")
    return {start: int(total) for start, total in days}


def true_totals(days, period):
    sums = Counter()
    for day, number in days.items():
        sums[period.start_of(day)] += number
    return dict(sums)


@pytest.mark.every_database
def test_three_years_are_adopted_exactly(three_years, client):
    out = StringIO()
    call_command("metrics_adopt", stdout=out)
    for slug, pk in three_years.ids.items():
        metric = Metric.objects.get(pk=pk)
        days = three_years.days[slug]
        pruned = PRUNED.get(slug, date.min)
        assert totals(metric, "day") == {day: number for day, number in days.items() if day >= pruned}
        assert sum(totals(metric, "year").values()) == sum(days.values())
        for period in (WEEK, MONTH, YEAR):
            true = true_totals(days, period)
            found = totals(metric, period)
            wrong = {start for start in true.keys() | found.keys() if true.get(start) != found.get(start)}
            assert all(start <= pruned for start in wrong), (slug, period, sorted(wrong))
    assert "signups: days" in out.getvalue()
    call_command("migrate", database=three_years.connection.alias, verbosity=0, skip_checks=False)
    call_command("metrics_aggregate", verbosity=0)
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(reverse("admin:app_metrics_dashboard_metric", args=["metric-1"]), {"range": "5y"})
    assert page.status_code == 200
    assert all(year in page.content.decode() for year in ("2021", "2022", "2023"))
