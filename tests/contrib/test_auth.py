"""The setting that counts signups, logins, failed logins and logouts, tested with real forms."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.testapp.models import Member

pytestmark = [pytest.mark.urls("tests.support.rule_urls"), pytest.mark.django_db]

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


def test_the_switch_counts_what_accounts_do(visit, settings, recorded):
    settings.APP_METRICS_AUTH = True
    visit()
    assert {slug: recorded.total(slug) for slug in recorded.slugs} == {
        "signups": 1,
        "failed_logins": 2,
        "logins": 1,
        "logouts": 1,
    }


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
