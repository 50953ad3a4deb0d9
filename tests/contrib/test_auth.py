"""The setting that counts signups, logins, failed logins and logouts, tested with real forms."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from app_metrics.checks import check_rules
from tests.testapp.models import Member

pytestmark = [pytest.mark.urls("tests.support.rule_urls"), pytest.mark.django_db]

EVENTS = {"signups": 1, "failed_logins": 2, "logins": 1, "logouts": 1}
PASSWORD = "correct horse battery staple"


@pytest.fixture
def visit(django_capture_on_commit_callbacks):
    """Do everything that an account can do."""

    def go():
        client = Client()
        with django_capture_on_commit_callbacks(execute=True):
            sent = {"username": "ann", "password1": PASSWORD, "password2": PASSWORD}
            assert client.post("/signup/", sent).status_code == 201
            assert client.post("/login/", {"username": "ann", "password": "wrong"}).status_code == 200
            assert client.post("/login/", {"username": "nobody", "password": "wrong"}).status_code == 200
            assert client.post("/login/", {"username": "ann", "password": PASSWORD}).status_code == 302
            assert client.post("/logout/").status_code == 302
        assert User.objects.count() == 1

    return go


def counted(recorded):
    return {slug: recorded.total(slug) for slug in recorded.slugs}


def test_the_setting_counts_account_events(visit, settings, recorded):
    settings.APP_METRICS_AUTH = True
    visit()
    assert counted(recorded) == EVENTS


def test_without_the_switch_nothing_is_counted(visit, recorded):
    visit()
    assert recorded.slugs == []


def test_the_switch_does_not_stand_in_the_way_of_rules_on_the_same_model_and_signal(visit, settings, recorded):
    settings.APP_METRICS_AUTH = True
    settings.APP_METRICS_MODELS = {"auth.User": {"created": "accounts"}}
    settings.APP_METRICS_SIGNALS = {"django.contrib.auth.signals.user_logged_in": "sessions"}
    visit()
    assert [recorded.total(slug) for slug in ("signups", "accounts", "logins", "sessions")] == [1, 1, 1, 1]


def test_signups_follow_a_swapped_user_model(settings, recorded, django_capture_on_commit_callbacks):
    settings.APP_METRICS_AUTH = True
    settings.AUTH_USER_MODEL = "testapp.Member"
    with django_capture_on_commit_callbacks(execute=True):
        Member.objects.create(name="ann")
    assert recorded.total("signups") == 1


@pytest.mark.parametrize("events", [["signups"], ["logins", "failed_logins"], ("logouts",), []])
def test_a_mapping_names_the_events_to_count(events, visit, settings, recorded):
    settings.APP_METRICS_AUTH = {"events": events}
    visit()
    assert counted(recorded) == {each: EVENTS[each] for each in events}


def test_an_empty_mapping_counts_all_events(visit, settings, recorded):
    settings.APP_METRICS_AUTH = {}
    visit()
    assert counted(recorded) == EVENTS


def is_ann(user):
    return user.get_username() == "ann"


@pytest.mark.parametrize("excluded", [is_ann, f"{__name__}.is_ann"])
def test_a_callable_excludes_users_from_all_events_that_name_one(excluded, visit, settings, recorded):
    settings.APP_METRICS_AUTH = {"exclude": [excluded]}
    assert check_rules() == []
    visit()
    assert counted(recorded) == {"failed_logins": 2}


@pytest.mark.parametrize(
    ("flags", "total"), [({}, 1), ({"is_staff": True}, 0), ({"is_superuser": True}, 0)], ids=["user", "staff", "super"]
)
def test_staff_and_superusers_can_be_excluded(flags, total, settings, recorded, django_capture_on_commit_callbacks):
    settings.APP_METRICS_AUTH = {"exclude": ["staff", "superusers"]}
    with django_capture_on_commit_callbacks(execute=True):
        User.objects.create_user("ann", password=PASSWORD, **flags)
        client = Client()
        client.post("/login/", {"username": "ann", "password": PASSWORD})
        client.post("/logout/")
    assert counted(recorded) == (dict.fromkeys(["signups", "logins", "logouts"], 1) if total else {})


def test_users_without_these_flags_are_counted(settings, recorded, django_capture_on_commit_callbacks):
    settings.APP_METRICS_AUTH = {"exclude": ["staff", "superusers"]}
    settings.AUTH_USER_MODEL = "testapp.Member"
    with django_capture_on_commit_callbacks(execute=True):
        Member.objects.create(name="ann")
    assert recorded.total("signups") == 1


def test_an_exclusion_that_fails_is_dropped_under_the_name_of_its_rule(visit, settings, recorded):
    settings.APP_METRICS_AUTH = {"events": ["logins"], "exclude": [lambda user: user.nothing]}
    visit()
    assert counted(recorded) == {"app_metrics_dropped": 1}
