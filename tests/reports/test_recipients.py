"""Who gets the mail about a set, each address once, and who has unsubscribed."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.db import connections
from django.test import override_settings

from app_metrics.models import MetricSet, Unsubscription
from app_metrics.models.creation import create_metric_set
from app_metrics.reports import recipients
from app_metrics.reports.recipients import (
    SALT,
    BadToken,
    Recipient,
    dashboard_url,
    read_token,
    recipients_of,
    stop_url,
    unsubscribe,
)
from tests.testapp.models import Member

BASE = "https://example.com"


def user(name, address=None, **values):
    return User.objects.create(username=name, email=f"{name}@example.com" if address is None else address, **values)


def addresses(metric_set):
    return [each.address for each in recipients_of(metric_set)]


def token_for(metric_set, identity):
    return signing.dumps([metric_set.pk, identity], salt=SALT)


def test_users_come_in_the_order_of_their_keys_and_plain_addresses_in_that_of_their_lines(database):
    zoe, ann = user("zoe"), user("ann")
    made = create_metric_set("Mine", [], ["y@example.com", ann, "x@example.com", zoe])
    assert recipients_of(made) == [
        Recipient(f"user:{zoe.pk}", "zoe@example.com"),
        Recipient(f"user:{ann.pk}", "ann@example.com"),
        Recipient("y@example.com", "y@example.com"),
        Recipient("x@example.com", "x@example.com"),
    ]


def test_inactive_users_and_users_without_an_address_get_nothing(database):
    everybody = [user("ann"), user("gone", is_active=False), user("mute", ""), user("blank", "  ")]
    assert addresses(create_metric_set("Mine", [], everybody)) == ["ann@example.com"]


def test_an_address_gets_one_mail_for_any_case_and_number_of_entries(database):
    everybody = [user("ann", "Ann@Example.com"), user("anna", "ann@example.com"), "ANN@example.com", "b@example.com"]
    made = create_metric_set("Mine", [], [*everybody, "b@example.com"])
    assert addresses(made) == ["Ann@Example.com", "b@example.com"]


def test_an_inactive_user_does_not_keep_the_plain_address_from_its_mail(database):
    made = create_metric_set("Mine", [], [user("ann", is_active=False), "ann@example.com"])
    assert recipients_of(made) == [Recipient("ann@example.com", "ann@example.com")]


def test_blanks_and_empty_lines_around_addresses_do_not_matter(database):
    made = MetricSet.objects.create(name="Mine", email_addresses="\r\n  a@example.com \r\n\r\nB@example.com\n")
    assert recipients_of(made) == [
        Recipient("a@example.com", "a@example.com"),
        Recipient("b@example.com", "B@example.com"),
    ]


def test_an_overlong_address_does_not_stop_the_other_recipients(database):
    fits, long = "a" * 308 + "@example.com", "a" * 309 + "@example.com"
    made = MetricSet.objects.create(name="Mine", email_addresses=f"{long}\nb@example.com\n{fits}")
    assert addresses(made) == ["b@example.com", fits]


def test_any_number_of_recipients_takes_two_queries(database, django_assert_num_queries):
    made = create_metric_set("Mine", [], [*(user(f"user-{number}") for number in range(20)), "a@example.com"])
    with django_assert_num_queries(2, connection=connections[database]):
        assert len(recipients_of(made)) == 21


def test_an_unsubscription_applies_to_its_set_only(database):
    ann, bob = user("ann"), user("bob")
    mine = create_metric_set("Mine", [], [ann, bob, "x@example.com"])
    other = create_metric_set("Other", [], [ann, bob, "x@example.com"])
    unsubscribe(token_for(mine, f"user:{ann.pk}"))
    unsubscribe(token_for(mine, "x@example.com"))
    assert addresses(mine) == ["bob@example.com"]
    assert len(addresses(other)) == 3


def test_a_user_stays_unsubscribed_under_a_new_address(database):
    ann = user("ann")
    made = create_metric_set("Mine", [], [ann])
    unsubscribe(token_for(made, f"user:{ann.pk}"))
    User.objects.update(email="new@example.com")
    assert addresses(made) == []


def test_an_address_stays_unsubscribed_under_another_name(database):
    ann = user("ann", "Ann@Example.com")
    made = create_metric_set("Mine", [], [ann])
    unsubscribe(token_for(made, f"user:{ann.pk}"))
    made.email_recipients.set([user("anna", "ann@example.com")])
    made.email_addresses = "ANN@example.com"
    made.save()
    assert addresses(made) == []


def test_a_plain_address_that_unsubscribed_gets_nothing_as_a_user(database):
    made = create_metric_set("Mine", [], ["Ann@example.com"])
    unsubscribe(token_for(made, "ann@example.com"))
    assert addresses(made) == []
    made.email_recipients.set([user("ann")])
    assert addresses(made) == []


def test_the_keys_of_users_may_be_texts_that_differ_in_case(database, monkeypatch):
    made = create_metric_set("Mine", [])
    users = [Recipient("user:Ann", "new@example.com"), Recipient("user:ann", "other@example.com")]
    monkeypatch.setattr(recipients, "_users", lambda metric_set: iter(users))
    Unsubscription.objects.create(metric_set=made, recipient="user:Ann", address="old@example.com")
    assert recipients_of(made) == users[1:]


def test_unsubscribing_twice_keeps_the_first(database):
    ann = user("ann")
    made = create_metric_set("Mine", [], [ann])
    unsubscribe(token_for(made, f"user:{ann.pk}"))
    first = Unsubscription.objects.get()
    User.objects.update(email="new@example.com")
    unsubscribe(token_for(made, f"user:{ann.pk}"))
    assert Unsubscription.objects.get().address == first.address == "ann@example.com"


def test_former_recipients_can_still_unsubscribe(database):
    made = create_metric_set("Mine", [])
    for identity in ("user:5", "x@example.com"):
        unsubscribe(token_for(made, identity))
    assert set(Unsubscription.objects.values_list("recipient", "address")) == {
        ("user:5", "user:5"),
        ("x@example.com", "x@example.com"),
    }


def test_deleting_an_unsubscription_brings_the_mail_back(database):
    made = create_metric_set("Mine", [], ["x@example.com"])
    unsubscribe(token_for(made, "x@example.com"))
    Unsubscription.objects.all().delete()
    assert addresses(made) == ["x@example.com"]


# Links


@pytest.mark.urls("tests.support.unsubscribe_urls")
@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
def test_a_link_names_the_set_and_the_recipient_and_nothing_to_guess(base, database, settings):
    settings.APP_METRICS_BASE_URL = base
    made = create_metric_set("Mine", [], ["x@example.com"])
    link = stop_url(made, recipients_of(made)[0])
    assert link.startswith(f"{BASE}/metrics/unsubscribe/")
    assert link.endswith("/")
    assert read_token(link.split("/")[-2]) == (made, "x@example.com")
    assert "x@example.com" not in link


@pytest.mark.urls("tests.support.unsubscribe_urls")
@override_settings(FORCE_SCRIPT_NAME="/app")
def test_a_site_below_a_path_has_its_links_below_it(database, settings):
    settings.APP_METRICS_BASE_URL = f"{BASE}/app"
    made = create_metric_set("Mine", [])
    assert stop_url(made, Recipient("x", "x")).startswith(f"{BASE}/app/metrics/unsubscribe/")


@pytest.mark.parametrize(
    "chosen",
    [
        {"APP_METRICS_BASE_URL": None, "ROOT_URLCONF": "tests.support.unsubscribe_urls"},
        {"APP_METRICS_BASE_URL": "", "ROOT_URLCONF": "tests.support.unsubscribe_urls"},
        {"APP_METRICS_BASE_URL": f"{BASE}\r\nBcc: x", "ROOT_URLCONF": "tests.support.unsubscribe_urls"},
        {"APP_METRICS_BASE_URL": BASE, "ROOT_URLCONF": "tests.support.rule_urls"},
        {"APP_METRICS_BASE_URL": BASE, "ROOT_URLCONF": None},
    ],
    ids=["no site", "empty site", "bad site", "urls without ours", "no urls"],
)
def test_without_the_site_or_its_urls_there_are_no_links(chosen):
    with override_settings(**chosen):
        assert stop_url(MetricSet(pk=1), Recipient("x", "x")) is None
        assert dashboard_url() is None


def test_mails_link_to_the_dashboard_of_the_admin(settings):
    settings.APP_METRICS_BASE_URL = BASE
    assert dashboard_url() == f"{BASE}/admin/app_metrics/dashboard/"


@pytest.mark.parametrize("spoil", ["", "x", "{}x", "x{}", "{}:x", "é", "\0", "a:b:c", ":::", "." + "x" * 5000])
def test_a_changed_token_is_invalid(spoil, database):
    token = token_for(create_metric_set("Mine", []), "x@example.com")
    with pytest.raises(BadToken):
        read_token(spoil.format(token))
    with pytest.raises(BadToken):
        unsubscribe(spoil.format(token))
    assert not Unsubscription.objects.exists()


def test_a_token_of_another_purpose_or_key_or_set_is_bad(database, settings):
    made = create_metric_set("Mine", [])
    token = token_for(made, "x@example.com")
    with pytest.raises(BadToken):
        read_token(signing.dumps([made.pk, "x@example.com"], salt="other"))
    with pytest.raises(BadToken):
        read_token(signing.dumps([made.pk + 1, "x@example.com"], salt=SALT))
    settings.SECRET_KEY = "another"
    with pytest.raises(BadToken):
        read_token(token)
    settings.SECRET_KEY_FALLBACKS = ["only for tests"]
    assert read_token(token) == (made, "x@example.com")


# User models of projects


@pytest.mark.parametrize(
    ("model", "values", "address"),
    [
        (SimpleNamespace(EMAIL_FIELD="mail"), {"mail": "a@example.com", "email": "b@example.com"}, "a@example.com"),
        (SimpleNamespace(), {"email": "b@example.com"}, "b@example.com"),
        (SimpleNamespace(), {"email": None}, None),
        (SimpleNamespace(), {"mail": "a@example.com"}, None),
        (SimpleNamespace(), {"email": "b@example.com", "is_active": False}, None),
        (Member, {"email": "b@example.com", "is_active": True}, "b@example.com"),
    ],
)
def test_the_user_model_names_its_address_field(model, values, address):
    # A real user inherits EMAIL_FIELD from its model.
    inherited = {"EMAIL_FIELD": model.EMAIL_FIELD} if hasattr(model, "EMAIL_FIELD") else {}
    user = SimpleNamespace(pk=7, **inherited, **values)
    assert list(recipients._reachable([user])) == ([Recipient("user:7", address)] if address else [])


SWAPPED = """
from datetime import UTC, datetime

import django
from django.conf import settings

APPS = ["contenttypes", "auth", "app_metrics", "testapp"]
settings.configure(
    SECRET_KEY="only for tests",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "app_metrics", "tests.testapp"],
    MIGRATION_MODULES=dict.fromkeys(APPS),
    EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
    AUTH_USER_MODEL="testapp.Member",
    USE_TZ=True,
)
django.setup()
from django.core import mail
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
mail.outbox = []

from app_metrics.reports.sending import send_reports
from app_metrics.utils import create_metric, create_metric_set, metric
from tests.testapp.models import Member

member = Member.objects.create(name="someone@example.com")
create_metric_set("Mine", [create_metric("Orders")], [member, "team@example.com"])
metric("orders", at=datetime(2020, 1, 1, tzinfo=UTC))  # since then it has been counted
send_reports()
print([each.to for each in mail.outbox])
Member.EMAIL_FIELD = "name"
send_reports(force=True)
print(sorted(each.to for each in mail.outbox[1:]))
"""


def test_a_user_model_without_addresses_may_be_swapped_in():
    done = subprocess.run([sys.executable, "-c", SWAPPED], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "[['team@example.com']]",
        "[['someone@example.com'], ['team@example.com']]",
    ], done.stderr
