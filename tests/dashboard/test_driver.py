"""Who keeps the totals up to date, as the health page says it, and the warning on each page if nobody does."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.autopilot.jobs import AGGREGATE, PRUNE
from app_metrics.autopilot.lease import note_scheduled
from app_metrics.dashboard.driver import AUTOPILOT, SCHEDULER, driver, stopped_for
from app_metrics.models import Item
from tests.support import rounds
from tests.support.rounds import MORNING

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    with freeze_time(MORNING) as frozen:
        yield frozen


@pytest.fixture(autouse=True)
def _on(settings):
    settings.APP_METRICS_AUTOPILOT = True


def fly():
    metric("downloads")
    rounds.fly()


def test_before_the_first_round_it_is_nobody(clock):
    assert driver() == ("", None, "", "")


def test_after_a_round_it_is_the_autopilot(clock):
    fly()
    assert driver() == (AUTOPILOT, MORNING, "", "")


def test_after_a_command_it_is_the_scheduler(clock):
    fly()
    clock.tick(60)
    note_scheduled(AGGREGATE)
    assert driver() == (SCHEDULER, MORNING + timedelta(seconds=60), "", "")


def test_the_health_page_shows_the_dates_of_all_runs_in_one_form(clock, admin_client):
    fly()
    shown = admin_client.get(reverse("admin:app_metrics_dashboard_health")).content.decode()
    assert re.findall("<dd>(.*2026.*)</dd>", shown) == ["24 November 2026, 9 a.m."] * 2


def test_a_scheduler_that_stopped_gives_way_to_the_autopilot(clock):
    note_scheduled(AGGREGATE)
    clock.tick(timedelta(minutes=20))
    fly()
    assert driver().name == AUTOPILOT


def test_an_autopilot_that_is_off_says_why(clock, settings):
    fly()
    settings.APP_METRICS_AUTOPILOT = False
    assert driver() == ("", MORNING, "APP_METRICS_AUTOPILOT is off.", "")


def test_what_the_autopilot_failed_at_is_named(clock, settings):
    settings.APP_METRICS_RETENTION = {"decade": 1}
    fly()
    assert driver().problem.startswith(f"{PRUNE}: ")


@pytest.mark.parametrize(("scheduled", "minutes", "stopped"), [(False, 14, 0), (False, 16, 960), (True, 1439, 0)])
def test_it_has_stopped_if_an_item_is_pending_for_too_long(clock, scheduled, minutes, stopped):
    if scheduled:
        note_scheduled(AGGREGATE)
    metric("downloads")
    clock.tick(timedelta(minutes=minutes))
    assert stopped_for() == stopped


@pytest.mark.parametrize("page", ["changelist", "health", "unused"])
def test_each_page_says_that_nothing_aggregates(clock, admin_client, page):
    metric("downloads")
    clock.tick(timedelta(minutes=20))
    answer = admin_client.get(reverse(f"admin:app_metrics_dashboard_{page}"))
    assert "Events have been pending for" in answer.content.decode()


def test_without_pending_items_no_page_warns(clock, admin_client):
    metric("downloads")
    fly()
    assert not Item.objects.exists()
    clock.tick(timedelta(hours=1))
    answer = admin_client.get(reverse("admin:app_metrics_dashboard_changelist"))
    assert "Events have been pending for" not in answer.content.decode()
