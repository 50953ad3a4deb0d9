"""The keys of rules, each counted through the real request handler."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import connection, transaction
from django.test import Client
from freezegun import freeze_time

import app_metrics
from app_metrics.checks import check_rules
from app_metrics.contrib.model_rules import model_keys
from app_metrics.contrib.rule_keys import KEYS
from app_metrics.contrib.signal_rules import SIGNAL_KEYS
from app_metrics.contrib.url_keys import URL_KEYS
from app_metrics.contrib.websocket_rules import WEBSOCKET_KEYS
from app_metrics.core.summary import COUNTER, DISTRIBUTION, GAUGE, TIMER
from app_metrics.testing.recorded import assert_metric_recorded
from tests.support.rule_urls import registered
from tests.testapp.models import Document, Tag

pytestmark = [pytest.mark.urls("tests.support.rule_urls"), pytest.mark.django_db]

LOGGED_IN = "django.contrib.auth.signals.user_logged_in"
DOCUMENTED = Path(app_metrics.__file__).parents[1] / "docs" / "howto" / "rules.md"


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        (KEYS, "everywhere"),
        (URL_KEYS, "URLs"),
        (model_keys(Tag, "created"), "`created` of models"),
        (SIGNAL_KEYS, "signals"),
        (WEBSOCKET_KEYS, "websockets"),
    ],
)
def test_the_documentation_has_a_row_for_each_key_with_its_meaning(keys, where):
    text = DOCUMENTED.read_text()
    assert [name for name, key in keys.items() if f"| `{name}` | {key.meaning} | {where} |" not in text] == []


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """Run the callbacks that are pending until the test's transaction commits."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def log_in(**user):
    User.objects.create_user("ann", password="x", **user)
    assert Client().post("/login/", {"username": "ann", "password": "x"}).status_code == 302


def kinds(recorded):
    return {(key.slug, key.kind) for batch in recorded.batches for key in batch.summaries}


@pytest.mark.parametrize("kind", [GAUGE, DISTRIBUTION])
@pytest.mark.parametrize("value", ["pages", lambda document: 1.0, 1])
def test_a_gauge_or_distribution_of_a_model_records_the_value_at_the_commit(kind, value, settings, recorded, committed):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"post_save": {"slug": "pages", kind: value}}}
    assert check_rules() == []
    with committed():
        Client().get("/order/")
        assert recorded.slugs == []
    assert_metric_recorded(recorded, "pages", total=1, count=1)
    assert kinds(recorded) == {("pages", kind)}


def test_a_gauge_of_a_response_reads_the_number_in_a_text(settings, recorded):
    settings.APP_METRICS_URLS = {
        "page": [
            {"slug": "size", "gauge": "request.GET.size"},
            {"slug": "sizes", "num": "request.GET.size"},
        ]
    }
    Client().get("/page/?size=1200.5")
    assert_metric_recorded(recorded, "size", total=Decimal("1200.5"))
    assert kinds(recorded) == {("size", GAUGE), ("sizes", COUNTER)}


def test_a_rule_records_its_timer_even_if_its_gauge_has_no_value(settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "size", "gauge": "request.GET.size", "timing": "seconds"}}
    Client().get("/page/")
    assert recorded.slugs == ["seconds"]


def test_a_duration_is_the_time_between_two_dates(settings, recorded):
    timing = {"from": "user.date_joined", "to": "user.last_login"}
    settings.APP_METRICS_SIGNALS = {LOGGED_IN: {"slug": "first_steps", "timing": timing}}
    assert check_rules() == []
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    with freeze_time(now):
        log_in(date_joined=now - timedelta(seconds=90, milliseconds=500))
    assert_metric_recorded(recorded, "first_steps", total=Decimal("90.5"), count=1)
    assert kinds(recorded) == {("first_steps", TIMER)}


@pytest.mark.parametrize(("to", "total"), [("owner.last_login", 0), ("owner.date_joined", 1)])
def test_a_duration_without_one_of_its_dates_records_nothing(to, total, settings, recorded, committed):
    rule = {"slug": "seconds", "timing": {"from": "owner.date_joined", "to": to}}
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": rule}}
    with committed():
        Document.objects.create(title="a", owner=User.objects.create(username="ann"))
        Document.objects.create(title="b")
    assert recorded.count("seconds") == total
    assert recorded.count("app_metrics_dropped") == 0


@pytest.mark.parametrize(
    ("begin", "end", "error"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), "is before"),
        (1, 2, "are not dates"),
    ],
)
def test_an_invalid_duration_is_an_error_of_its_rule(begin, end, error, settings, recorded, caplog):
    timing = {"from": lambda request, response: begin, "to": lambda request, response: end}
    settings.APP_METRICS_URLS = {"page": {"slug": "seconds", "timing": timing}}
    Client().get("/page/")
    assert_metric_recorded(recorded, "app_metrics_dropped", total=1, labels={"reason": "failed_rule"})
    assert error in caplog.text


def test_a_naive_date_compares_with_an_aware_one(settings, recorded):
    begin, end = datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 12, 1, tzinfo=UTC)  # noqa: DTZ001
    timing = {"from": lambda request, response: begin, "to": lambda request, response: end}
    settings.TIME_ZONE = "UTC"
    settings.APP_METRICS_URLS = {"page": {"slug": "seconds", "timing": timing}}
    Client().get("/page/")
    assert_metric_recorded(recorded, "seconds", total=60)


def test_a_signal_rule_with_on_commit_counts_at_the_commit(settings, recorded, committed):
    settings.APP_METRICS_SIGNALS = {LOGGED_IN: [{"slug": "logins", "on_commit": True, "num": 3}, "at_once"]}
    assert check_rules() == []
    with committed():
        log_in()
        assert recorded.slugs == ["at_once"]
    assert_metric_recorded(recorded, "logins", total=3, count=1)


def test_a_signal_rule_with_on_commit_does_not_count_after_a_rollback(settings, recorded, committed):
    settings.APP_METRICS_SIGNALS = {LOGGED_IN: [{"slug": "logins", "on_commit": True}, "at_once"]}
    with committed(), transaction.atomic():
        log_in()
        transaction.set_rollback(True)
    assert recorded.slugs == ["at_once"]


@pytest.mark.parametrize("using", ["default", None, 5])
def test_a_signal_rule_with_on_commit_follows_the_argument_using(using, settings, recorded, committed):
    settings.APP_METRICS_STRICT = False
    settings.APP_METRICS_SIGNALS = {LOGGED_IN: {"slug": "logins", "on_commit": True}}
    with committed():
        user_logged_in.send(sender=User, request=None, user=User.objects.create(username="ann"), using=using)
        assert recorded.slugs == []
    assert recorded.total("logins") == 1


REGISTERED = "tests.support.rule_urls.registered"
NEW_USER = {"username": "ann", "password1": "x1-y2-z3", "password2": "x1-y2-z3"}


@pytest.fixture
def atomic_requests(transactional_db, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.mark.usefixtures("atomic_requests")
def test_a_signal_that_a_model_sends_about_a_row_counts_only_if_its_request_commits(settings, recorded):
    settings.APP_METRICS_SIGNALS = {REGISTERED: ["registrations", {"slug": "attempts", "on_commit": False}]}
    assert check_rules() == []
    client = Client(raise_request_exception=False)
    assert client.post("/signup/", NEW_USER).status_code == 201
    assert client.get("/half-signup/").status_code == 500
    assert (recorded.total("registrations"), recorded.total("attempts")) == (1, 2)


@pytest.mark.usefixtures("atomic_requests")
def test_a_signal_without_a_row_counts_even_if_its_transaction_rolls_back(settings, recorded):
    settings.APP_METRICS_SIGNALS = {LOGGED_IN: "logins"}
    with transaction.atomic():
        log_in()
        transaction.set_rollback(True)
    assert recorded.total("logins") == 1


@pytest.mark.parametrize("using", ["card", None, 5])
def test_a_signal_about_a_row_follows_the_transaction_of_the_row(using, settings, recorded, committed):
    """The argument `using` of a project's signal may mean anything."""
    settings.APP_METRICS_SIGNALS = {REGISTERED: "registrations"}
    with committed():
        registered.send(sender=Document, instance=Document.objects.create(title="a"), using=using)
        assert recorded.slugs == []
    assert recorded.total("registrations") == 1
    assert recorded.count("app_metrics_dropped") == 0


def rows(request, response):
    yield {"num": 2, "labels": {"kind": "book"}}
    yield {"labels": {"kind": "film"}}
    yield {"num": Decimal("0.5"), "labels": {"kind": "book", "method": "own"}}
    yield 4


@pytest.mark.parametrize("events", [rows, f"{__name__}.rows"])
@pytest.mark.parametrize("key", ["page", "*"])
def test_a_callable_returns_several_events(key, events, settings, recorded):
    rule = {"slug": "imported", "events": events, "labels": {"method": "request.method", "url": "response.status_code"}}
    settings.APP_METRICS_URLS = {key: rule}
    assert check_rules() == []
    Client().get("/page/")
    expected = {"method": "GET", "url": "200"}
    assert_metric_recorded(recorded, "imported", total=2, count=1, labels={**expected, "kind": "book"})
    assert_metric_recorded(recorded, "imported", total=1, count=1, labels={**expected, "kind": "film"})
    assert_metric_recorded(recorded, "imported", total=4, count=1, labels=expected)
    assert recorded.total("imported") == Decimal("7.5")


def test_events_of_a_model_count_at_the_commit(settings, recorded, committed):
    rule = {"slug": "words", "events": lambda document: map(len, document.title.split())}
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": rule}}
    with committed():
        Document.objects.create(title="one three")
        assert recorded.slugs == []
    assert_metric_recorded(recorded, "words", total=8, count=2)


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_a_rule_whose_events_are_empty_records_nothing(nothing, settings, recorded):
    settings.APP_METRICS_URLS = {"page": {"slug": "imported", "events": lambda request, response: nothing}}
    Client().get("/page/")
    assert recorded.slugs == []


@pytest.mark.parametrize("bad", ["many", None, {"number": 1}, {"num": 1, "labels": 5}, {"labels": {"a": "b", 5: 6}}])
@pytest.mark.parametrize("strict", [True, False])
def test_a_bad_event_is_dropped_alone(bad, strict, settings, recorded):
    settings.APP_METRICS_STRICT = strict
    settings.APP_METRICS_URLS = {"page": {"slug": "imported", "events": lambda request, response: [1, bad, 2]}}
    assert Client().get("/page/").status_code == 200
    assert_metric_recorded(recorded, "imported", total=3, count=2)
    assert recorded.total("app_metrics_dropped") == 1


def test_labels_of_an_event_that_are_too_long_are_cut_and_the_event_counts(settings, recorded):
    """A visitor may send them; each control character takes six characters as JSON."""
    strange = {"labels": {"sent": "\x01" * 84}}
    labels = {"method": "request.method"}
    settings.APP_METRICS_URLS = {"page": {"slug": "imported", "labels": labels, "events": lambda *sent: [strange, 2]}}
    Client().get("/page/")
    assert (recorded.total("imported"), recorded.count("app_metrics_dropped")) == (3, 0)


def test_events_that_fail_midway_keep_those_before(settings, recorded):
    def failing(request, response):
        yield 1
        raise LookupError("no more")

    settings.APP_METRICS_URLS = {"page": {"slug": "imported", "events": failing}}
    assert Client().get("/page/").status_code == 200
    assert (recorded.total("imported"), recorded.total("app_metrics_dropped")) == (1, 1)
