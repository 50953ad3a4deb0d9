"""Every mistake in the settings gets a message, and a hint that helps to fix it."""

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.core.checks import ERROR, Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.urls import path
from freezegun import freeze_time

from app_metrics import checks, metric
from app_metrics.backends import redis
from app_metrics.checks import check_firing
from app_metrics.contrib import asgi
from app_metrics.core.batch import Batch
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import load_backend
from app_metrics.utils import create_metric
from tests.testapp.models import Document

pytestmark = pytest.mark.urls("tests.support.rule_urls")

urlpatterns = [path("admin/", admin.site.urls), path("shop/", admin.site.index, name="shop")]

URLS, MODELS, SIGNALS = "APP_METRICS_URLS", "APP_METRICS_MODELS", "APP_METRICS_SIGNALS"
WEBSOCKETS = "APP_METRICS_WEBSOCKETS"
LOGGED_IN = "django.contrib.auth.signals.user_logged_in"


class Elsewhere:
    def db_for_write(self, model, **hints):
        return "elsewhere"


class OwnRedis(redis.MetricsBackend):
    pass


class Unwilling(MetricsBackend):
    def __init__(self):
        raise ConnectionError("nobody there")


def messages(databases=(), **options):
    # Django's own check of a JSONField may ask the database, which most of these tests must not use.
    tags = ["app_metrics", Tags.database] if databases else ["app_metrics"]
    found = run_checks(tags=tags, databases=databases, **options)
    return [each for each in found if (each.id or "").startswith("app_metrics.")]


def url_rule(**rule):
    return {URLS: {"page": {"slug": "views", **rule}}}


def altering(document):
    """A callable that changes data, and declares that it does."""


altering.alters_data = True


def model_rule(event="created", label="testapp.Document", **rule):
    return {MODELS: {label: {event: {"slug": "events", **rule}}}}


def order_rule(**rule):
    return model_rule(label="testapp.Order", **rule)


def signal_rule(path=LOGGED_IN, **rule):
    return {SIGNALS: {path: {"slug": "events", **rule}}}


# The message id, the settings, and the hint's text.
MISTAKES = [
    ("E001", {URLS: ["page"]}, 'Write it like this: {"downloads:file": "downloads"}.'),
    ("E001", {URLS: {"page": 5}}, "Give a slug, a mapping, or a list of those."),
    ("E001", {URLS: {"page": ["views", None]}}, "Give a slug, a mapping, or a list of those."),
    ("E001", {URLS: {"page": {"num": 1}}}, 'Add "slug": "…" to the mapping.'),
    ("E001", url_rule(num=0.5), "Give an int, a Decimal, a dotted path, or a callable."),
    ("E001", url_rule(num=True), "Give an int, a Decimal, a dotted path, or a callable."),
    ("E001", url_rule(num=Decimal("NaN")), "Give an int, a Decimal, a dotted path, or a callable."),
    ("E001", url_rule(gauge=True), "Give a number, a dotted path, or a callable."),
    ("E001", model_rule(timing="seconds"), 'Write it like this: {"from": "created_at", "to": "paid_at"}.'),
    ("E001", url_rule(timing={"from": "request.path"}), 'Write it like this: {"from": "created_at", "to": "paid_at"}.'),
    ("E001", model_rule(timing=True), 'Write it like this: {"from": "created_at", "to": "paid_at"}.'),
    ("E001", url_rule(timing=True), 'Give the slug of a timer, such as "page_seconds", or two dates: {"from": …,'),
    ("E001", url_rule(timing=["seconds"]), "Give the slug of a timer"),
    ("E008", url_rule(events=5), "Give a dotted path or a callable."),
    ("E001", model_rule(num=1, events="tags.all"), "Keep one of them."),
    ("E001", model_rule(num="pages", gauge="pages"), "Keep one of them."),
    ("E001", url_rule(unique="request.user.pk", num=2), "Keep one of them."),
    ("E001", url_rule(unique="request.user.pk", events="request.rows"), "Keep one of them."),
    ("E001", model_rule(unique="owner_id", timing={"from": "owner.date_joined", "to": "owner.last_login"}), "Keep one"),
    ("E008", url_rule(unique="request.user"), "Write 'request.user.pk'."),
    ("E008", {WEBSOCKETS: {"ws/": {"slug": "chatters", "unique": "scope.user"}}}, "Write 'scope.user.pk'."),
    ("E008", url_rule(unique="user.pk"), 'Give a path that begins with "request." or "response.", or the dotted'),
    ("E008", url_rule(unique=7), "Give a dotted path or a callable."),
    ("E008", model_rule(unique="ownr_id"), "Did you mean 'owner'?"),
    ("E008", model_rule(unique="owner"), "Give 'owner_id', or a callable that returns an id."),
    ("E008", order_rule(unique="document.owner"), "Give 'document.owner_id', or a callable that returns an id."),
    ("E008", model_rule(unique="tags"), "Give a field of ids, or a callable that returns an id."),
    ("E008", order_rule(unique="is_test"), "Give a field of ids, or a callable that returns an id."),
    ("E008", order_rule(num="is_test"), "Give a field of numbers, or a callable that returns a number."),
    ("E008", order_rule(num="placed_at"), "Give a field of numbers, or a callable that returns a number."),
    ("E008", order_rule(gauge="day"), "Give a field of numbers, or a callable that returns a number."),
    ("E008", order_rule(num="document"), "Give a field of numbers, or a callable that returns a number."),
    ("E008", order_rule(num="document.owner.is_staff"), "Give a field of numbers, or a callable that returns"),
    ("E008", model_rule(num="tags"), "Give a field of numbers, or a callable that returns a number."),
    ("E008", order_rule(timing={"from": "plan", "to": "placed_at"}), "Give a date field, or a callable that returns"),
    ("E008", order_rule(timing={"from": "placed_at", "to": "amount"}), "Give a date field, or a callable that returns"),
    ("E001", model_rule(label="testapp.Order", backfill="day", gauge="amount"), "Keep one of them: it counts rows."),
    ("E008", model_rule(timing={"from": "owner.date_joind", "to": "owner.last_login"}), "Did you mean 'date_joined'?"),
    ("E001", url_rule(labels=["request.method"]), 'Map names to paths: {"plan": "plan"}.'),
    (
        "E001",
        url_rule(labels={str(each): "request.path" for each in range(9)}),
        "9 labels are too many; give at most 8.",
    ),
    ("E001", url_rule(labels={"x" * 101: "request.path"}), "the maximum is 100."),
    ("E001", url_rule(methods="POST"), 'List HTTP methods in upper case: ["POST"].'),
    ("E001", url_rule(methods=["post"]), 'List HTTP methods in upper case: ["POST"].'),
    ("E001", url_rule(methods=5), 'List HTTP methods in upper case: ["POST"].'),
    ("E001", url_rule(methods=[["POST"]]), "unhashable type"),
    ("E001", url_rule(status="2yy"), 'List status classes and codes: ["2xx", 302].'),
    ("E001", url_rule(status=["200"]), 'List status classes and codes: ["2xx", 302].'),
    ("E001", url_rule(status=[99]), 'List status classes and codes: ["2xx", 302].'),
    ("E001", {MODELS: [("auth.User", "signups")]}, 'Write it like this: {"shop.Order": {"created": "new_orders"}}.'),
    ("E001", {MODELS: {"auth.User": "signups"}}, 'Write it like this: {"created": "new_orders"}.'),
    ("E001", {SIGNALS: LOGGED_IN}, f'Write it like this: {{"{LOGGED_IN}": "logins"}}.'),
    ("E002", {URLS: {"pgae": "views"}}, "Did you mean 'page'?"),
    ("E002", {URLS: {"/page/": "views"}}, "Write 'page', the name of its URL."),
    ("E002", {URLS: {"only-get/": "views"}}, "Write 'only-get', the name of its URL."),
    ("E002", {URLS: {"/": "views"}}, "Give the name of a URL, as reverse() takes it."),
    ("E002", {URLS: {"shops:eu:item": "views"}}, "Did you mean 'regions:eu:item'?"),
    ("E002", {URLS: {"regoins:*": "views"}}, "Did you mean 'regions:*'?"),
    ("E002", {URLS: {"regions:uk:*": "views"}}, "Did you mean 'regions:us:*'?"),
    ("E002", {URLS: {"haf-*": "views"}}, "Did you mean 'half-*'?"),
    ("E002", {URLS: {"nowhere:*": "views"}}, "Choose one of async-*, half-*, only-*, regions:*, regions:eu:*"),
    ("E002", {URLS: {"*": {"slug": "views", "exclude": ["regoins:*"]}}}, "Did you mean 'regions:*'?"),
    ("E002", {URLS: {"*": {"slug": "views", "exclude": ["pgae"]}}}, "Did you mean 'page'?"),
    ("E001", {URLS: {"*": {"slug": "views", "exclude": "page"}}}, 'List URL names and patterns: ["admin:*"].'),
    ("E001", {URLS: {"*": {"slug": "views", "exclude": [5]}}}, 'List URL names and patterns: ["admin:*"].'),
    (
        "E001",
        {URLS: {"-": {"slug": "x", "labels": {"path": "request.path"}}}},
        "or a callable that returns few values.",
    ),
    ("E001", {URLS: {"-": {"slug": "x", "labels": {"to": "response.url"}}}}, "Use request.method, request.scheme"),
    ("E001", url_rule(exclude=["page"]), "Remove it, or make the key a pattern such as shop:*."),
    ("E003", {MODELS: {"auth.Usr": {"created": "signups"}}}, "Did you mean 'auth.User'?"),
    ("E003", {MODELS: {"Document": {"created": "events"}}}, "Did you mean 'testapp.Document'?"),
    ("E003", {MODELS: {"app_metrics.Item": {"created": "events"}}}, "Remove this entry."),
    ("E004", model_rule("create"), "Did you mean 'created'?"),
    ("E004", model_rule("m2m_changed", "testapp.Draft"), "testapp.Document_tags"),
    ("E004", model_rule("m2m_changed", "testapp.Tag"), "testapp.Document_tags"),
    ("E005", signal_rule("django.contrib.auth.signals.user_loged_in"), "Did you mean 'user_logged_in'?"),
    ("E005", signal_rule("django.contrib.auth.signals.Signal"), "Choose one of user_logged_in, user_logged_out"),
    ("E005", signal_rule("nowhere.at_all"), "Give the dotted path of a signal, including its module."),
    ("E005", signal_rule("django.db.models.signals.post_save"), "Name the model in APP_METRICS_MODELS instead."),
    ("E001", signal_rule(on_commit="default"), "Give True or False."),
    (
        "E006",
        url_rule(on_commit=True),
        "distribution, events, exclude, gauge, labels, methods, num, slug, status, timing, unique, when.",
    ),
    ("E006", url_rule(method=["POST"]), "Did you mean 'methods'?"),
    (
        "E006",
        model_rule(status=["2xx"]),
        "Choose one of backfill, better, distribution, events, gauge, labels, num, slug, timing, unique, when.",
    ),
    ("E006", signal_rule(label={"plan": "user.plan"}), "Did you mean 'labels'?"),
    ("E007", {URLS: {"page": "Seitenaufrufe für alle"}}, "Use a slug such as 'seitenaufrufe-fur-alle'."),
    ("E007", model_rule(slug=""), "Use a slug such as 'new_user_signup'."),
    ("E007", url_rule(slug=True), "Use a slug such as 'new_user_signup'."),
    ("E007", url_rule(slug=False), "Use a slug such as 'new_user_signup'."),
    ("E007", url_rule(timing="view seconds"), "Use a slug such as 'view-seconds'."),
    ("E008", url_rule(when="user.is_staff"), 'Give a path that begins with "request." or "response.", or the dotted'),
    ("E008", url_rule(when="app_metrics.apps.conf"), "or the dotted path of a callable."),
    ("E008", url_rule(when=5), "Give a dotted path or a callable."),
    ("E008", url_rule(when="request..GET"), "Give a dotted path or a callable."),
    ("E008", signal_rule(num=""), "Give a dotted path or a callable."),
    ("E008", model_rule(num="pgaes"), "Did you mean 'pages'?"),
    ("E008", model_rule(num="delete"), "Give a path or a callable that only reads."),
    ("E008", model_rule(when="save"), "Give a path or a callable that only reads."),
    ("E008", model_rule(labels={"name": "owner.delete"}), "Give a path or a callable that only reads."),
    ("E008", model_rule(num=Document.delete), "Give a path or a callable that only reads."),
    ("E008", model_rule(num="tests.test_checks.altering"), "Give a path or a callable that only reads."),
    ("E008", model_rule(labels={"name": "owner.usernam"}), "Did you mean 'username'?"),
    ("E008", model_rule(when="nowhere.at_all"), "Give an attribute path of testapp.Document, or the dotted path of"),
    ("E009", {"APP_METRICS_BACKEND": "app_metrics.backends.bd"}, 'APP_METRICS_BACKEND = "app_metrics.backends.db".'),
    ("E009", {"APP_METRICS_BACKEND": "datetime.datetime"}, 'APP_METRICS_BACKEND = "app_metrics.backends.db".'),
    ("E009", {"APP_METRICS_BACKEND": f"{__name__}.Unwilling"}, 'APP_METRICS_BACKEND = "app_metrics.backends.db".'),
    ("E009", {"APP_METRICS_BACKEND": None}, 'APP_METRICS_BACKEND = "app_metrics.backends.db".'),
    ("E009", {"APP_METRICS_BACKEND": "app_metrics.backends.composite"}, "Set APP_METRICS_COMPOSITE_BACKENDS"),
    ("E001", {WEBSOCKETS: {"ws/": {"slug": "chats", "timing": 5}}}, "Give the slug of a timer"),
    ("E007", {WEBSOCKETS: {"ws/": {"slug": "chats", "sent": True}}}, "Use a slug such as 'new_user_signup'."),
    ("E001", {WEBSOCKETS: "chats"}, 'Write it like this: {"ws/chat/*": "chats"}.'),
    ("E002", {WEBSOCKETS: {"ws/chat/<int:room>/": "chats"}}, 'with * for what varies, such as "ws/chat/*".'),
    ("E002", {WEBSOCKETS: {r"^ws/chat/(?P<room>\w+)/$": "chats"}}, "Write the path alone"),
    ("E002", {WEBSOCKETS: {"wss://example.com/ws/": "chats"}}, "Write the path alone"),
    ("E006", {WEBSOCKETS: {"ws/": {"slug": "chats", "recieved": "messages"}}}, "Did you mean 'received'?"),
    ("E007", {WEBSOCKETS: {"ws/": {"slug": "chats", "sent": "two words"}}}, "Use a slug such as 'two-words'."),
    (
        "E008",
        {WEBSOCKETS: {"ws/": {"slug": "chats", "when": "user.is_staff"}}},
        'Give a path that begins with "scope."',
    ),
    ("E010", {"APP_METRICS_DISABLED": "False"}, "Give True or False."),
    ("E010", {"APP_METRICS_ALIASES": ["api.calls"]}, "Map texts that are no slugs to slugs"),
    ("E010", {"APP_METRICS_ALIASES": {"calls": "api-calls"}}, "a slug needs no alias"),
    ("E010", {"APP_METRICS_ALIASES": {"api.calls": "api.calls"}}, "Map texts that are no slugs to slugs"),
    ("E010", {"APP_METRICS_ALIASES": {1: "one"}}, "Map texts that are no slugs to slugs"),
    ("E010", {"APP_METRICS_AUTH": "yes"}, 'Give True or False, or a mapping such as {"events": ["signups"'),
    ("E006", {"APP_METRICS_AUTH": {"event": ["logins"]}}, "Did you mean 'events'?"),
    ("E004", {"APP_METRICS_AUTH": {"events": ["login"]}}, "Did you mean 'logins'?"),
    ("E001", {"APP_METRICS_AUTH": {"events": "logins"}}, 'List events: ["signups", "logins"].'),
    ("E001", {"APP_METRICS_AUTH": {"exclude": "staff"}}, "List 'staff' and 'superusers', callables that get the user"),
    ("E008", {"APP_METRICS_AUTH": {"exclude": ["stuff"]}}, "Give 'staff' or 'superusers', or the dotted path of"),
    ("E008", {"APP_METRICS_AUTH": {"exclude": [5]}}, "List 'staff' and 'superusers', callables that get the user"),
    ("E010", {"APP_METRICS_STRICT": "no"}, "Give True, False, or None to follow DEBUG."),
    ("E010", {"APP_METRICS_TIME_ZONE": "Europe/Berln"}, 'Give a time zone such as "Europe/Berlin"'),
    ("E010", {"APP_METRICS_WEEK_START": "tuesday"}, 'Give "monday" or "sunday".'),
    ("E010", {"APP_METRICS_YEARS": (2100, 1970)}, "Give two years, such as (1970, 2100)"),
    ("E010", {"APP_METRICS_MAX_LABEL_SETS": 0}, "Give a number of at least 1."),
    ("E010", {"APP_METRICS_RETRY_LIMIT": "100"}, "Give a number of at least 1."),
    ("E010", {"APP_METRICS_CHUNK_SIZE": 100_001}, "Give a number from 1 to 100000."),
    ("E010", {"APP_METRICS_STATSD_TAGS": "no"}, "Give True or False."),
    ("E010", {"APP_METRICS_STATSD_PREFIX": "my site"}, 'such as "mysite"'),
    ("E010", {"APP_METRICS_STATSD_PREFIX": None}, 'such as "mysite"'),
    ("E010", {"APP_METRICS_TIMEOUT": 0}, "Give a number of seconds above 0, at most 60."),
    ("E010", {"APP_METRICS_TIMEOUT": float("nan")}, "Give a number of seconds above 0, at most 60."),
    ("E010", {"APP_METRICS_FLUSH_INTERVAL": "5"}, "Give a number of seconds from 0 to 3600."),
    ("E010", {"APP_METRICS_FLUSH_INTERVAL": -1}, "Give a number of seconds from 0 to 3600."),
    ("E024", {"APP_METRICS_SPOOL_DIR": "/nowhere/at/all"}, "Create it on a local disk, and let the user that"),
    ("E024", {"APP_METRICS_SPOOL_DIR": __file__}, "Create it on a local disk, and let the user that"),
    ("E024", {"APP_METRICS_SPOOL_DIR": 7}, "Create it on a local disk, and let the user that"),
    ("E024", {"APP_METRICS_SPOOL_DIR": "\0"}, "Create it on a local disk, and let the user that"),
    ("E024", {"APP_METRICS_SPOOL_DIR": "\ud800"}, "Create it on a local disk, and let the user that"),
    ("E010", {"APP_METRICS_SEND_ZERO_ACTIVITY": 0}, "Give True or False."),
    ("E010", {"APP_METRICS_CATCH_UP": 0}, "Give a number from 1 to 366."),
    ("E010", {"APP_METRICS_TIMEOUT": "1"}, "Give a number of seconds above 0, at most 60."),
    ("E010", {"APP_METRICS_UNIQUE_KEY": "hunter2"}, "Give a secret text of at least 22 characters"),
    ("E010", {"APP_METRICS_CATCH_UP": 367}, "Give a number from 1 to 366."),
    ("E011", {"APP_METRICS_DATABASE": "defualt"}, "Did you mean 'default'?"),
    (
        "E012",
        {"DATABASE_ROUTERS": [f"{__name__}.Elsewhere"]},
        '"app_metrics.storage.routers.MetricsRouter" to DATABASE_ROUTERS',
    ),
    ("E013", {URLS: {"page": "views"}, "MIDDLEWARE": []}, 'Put "app_metrics.middleware.MetricsMiddleware" first'),
    (
        "E014",
        {"APP_METRICS_AUTH": True, "INSTALLED_APPS": ["django.contrib.contenttypes", "app_metrics"]},
        'Add "django.contrib.auth" to INSTALLED_APPS',
    ),
    ("E017", {"APP_METRICS_SETS": ["Growth"]}, 'Write it like this: {"Growth": {"metrics":'),
    ("E017", {"APP_METRICS_SETS": {"Growth": {"metrics": []}}}, 'Add "metrics": ["…"]'),
    (
        "E017",
        {"APP_METRICS_SETS": {"Growth": {"metrics": ["x"], "to": []}}},
        "Choose one of metrics, ratios, recipients, send.",
    ),
    (
        "E017",
        {"APP_METRICS_SETS": {"Growth": {"metrics": ["x"], "send": ["dayly"], "recipients": ["a@example.com"]}}},
        "Did you mean 'daily'?",
    ),
    ("W001", {"APP_METRICS_URL": {}}, "Did you mean 'APP_METRICS_URLS'?"),
    (
        "W001",
        {"APP_METRICS_REDIS_HOST": "redis.example.com"},
        "Write host, port and database into APP_METRICS_REDIS_URL",
    ),
    ("W001", {"APP_METRICS_STATSD_PORT": 8126}, "Write host and port into APP_METRICS_STATSD_URL"),
    ("W001", {"APP_METRICS_STATSD_SAMPLE_RATE": 0.5}, "remove the setting."),
    ("W001", {"APP_METRICS_MIXPANEL_TOKEN": "secret"}, "Mixpanel is not supported; remove the setting."),
    ("W001", {"APP_METRICS_LIBRATO_USER": "ann"}, "Librato is not supported; remove the setting."),
    (
        "W002",
        {"APP_METRICS_BACKEND": "app_metrics.backends.dummy", "APP_METRIC_BACKEND": "app_metrics.backends.db"},
        "Remove one of them.",
    ),
    (
        "W016",
        {"APP_METRICS_SPOOL_DIR": "/tmp", "TENANT_APPS": ["app_metrics"]},
        'list "app_metrics" in SHARED_APPS and not in TENANT_APPS.',
    ),
    (
        "E027",
        {"APP_METRICS_BACKEND": "app_metrics.backends.redis", "TENANT_APPS": ["app_metrics"]},
        'Set APP_METRICS_BACKEND = "app_metrics.backends.db", or list "app_metrics" in SHARED_APPS',
    ),
    ("W004", {"APP_METRICS_BASE_URL": "https://example.com"}, 'Add path("metrics/", include("app_metrics.urls"))'),
]


@pytest.mark.parametrize(
    ("backend", "destinations", "mixes"),
    [
        ("app_metrics.backends.redis.MetricsBackend", [], True),
        ("tests.test_checks.OwnRedis", [], True),
        ("app_metrics.backends.composite", ["app_metrics.backends.statsd", "app_metrics.backends.redis"], True),
        ("app_metrics.backends.db", ["app_metrics.backends.redis"], False),
        ("app_metrics.backends.composite", ["app_metrics.backends.db", "app_metrics.backends.statsd"], False),
    ],
)
def test_the_backends_in_use_must_not_mix_tenants(backend, destinations, mixes, settings):
    settings.TENANT_APPS = ["app_metrics"]
    settings.APP_METRICS_BACKEND = backend
    settings.APP_METRICS_COMPOSITE_BACKENDS = destinations
    found = [message.msg for message in messages() if message.id == "app_metrics.E027"]
    assert len(found) == mixes


@pytest.mark.parametrize("rule", [{"num": "plan"}, {"gauge": "plan"}, {"num": "document.title"}])
def test_w020_warns_of_numbers_that_are_read_from_a_text_field(rule, settings):
    settings.APP_METRICS_MODELS = order_rule(**rule)[MODELS]
    (message,) = messages()
    assert message.id == "app_metrics.W020"
    assert message.msg.startswith("APP_METRICS_MODELS['testapp.Order']['created'] reads a number from the text field ")


@pytest.mark.parametrize(
    "rule",
    [
        {"num": "amount"},
        {"gauge": "document.pages"},
        {"num": "pk"},
        {"num": "document_id"},
        {"num": "document.title.__len__"},
        {"timing": {"from": "document.owner.date_joined", "to": "placed_at"}},
    ],
)
def test_fields_of_numbers_and_dates_get_no_message(rule, settings):
    settings.APP_METRICS_MODELS = order_rule(**rule)[MODELS]
    assert messages() == []


@pytest.mark.parametrize(
    ("backend", "old", "code", "new"),
    [
        ("redis", {"REDIS_HOST": "redis.example.com"}, "E009", {"REDIS_URL": "redis://redis.example.com:6379/0"}),
        ("redis", {"REDIS_PORT": 6380, "REDIS_DB": 2}, "E009", {"REDIS_URL": "redis://localhost:6380/2"}),
        ("redis", {"REDIS_DB": 2}, "E009", {"REDIS_CLIENT": "tests.test_checks.messages"}),
        ("statsd", {"STATSD_HOST": "stats.example.com"}, "E026", {"STATSD_URL": "udp://stats.example.com:8125"}),
    ],
)
def test_an_old_address_is_refused_until_the_new_setting_holds_it(backend, old, code, new, settings):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.db", f"app_metrics.backends.{backend}"]
    for name, value in old.items():
        setattr(settings, f"APP_METRICS_{name}", value)
    (error,) = [each for each in messages() if each.is_serious(ERROR)]
    assert error.id == f"app_metrics.{code}"
    assert f"APP_METRICS_{next(iter(old))} is not read" in error.msg
    assert f"APP_METRICS_{backend.upper()}_URL" in f"{error.msg} {error.hint}"
    for name, value in new.items():
        setattr(settings, f"APP_METRICS_{name}", value)
    assert {each.id for each in messages()} <= {"app_metrics.W001", "app_metrics.W007"}


def test_nothing_goes_to_the_default_server_if_an_old_setting_names_another(settings):
    settings.APP_METRICS_STATSD_HOST = "stats.example.com"
    with pytest.raises(ImproperlyConfigured, match="APP_METRICS_STATSD_HOST is not read"):
        load_backend("app_metrics.backends.statsd").write(Batch({}))


@pytest.mark.parametrize(("code", "mistake", "hint"), MISTAKES)
def test_a_mistake_gets_one_message_with_a_hint(code, mistake, hint, settings):
    for name, value in mistake.items():
        setattr(settings, name, value)
    (message,) = messages()
    assert message.id == f"app_metrics.{code}"
    assert hint in message.hint
    assert "APP_METRIC" in f"{message.msg} {message.hint}"


GOOD = {
    URLS: {
        "regions:eu:item": "views",
        "tests.support.rule_urls.page": ["views", {"slug": "pages", "num": 2}],
        "page": {
            "slug": "pages",
            "num": Decimal("0.5"),
            "methods": {"GET", "POST"},
            "status": ["2xx", 302],
            "labels": {"method": "request.method", "user": "request.user.pk", "kind": lambda request, response: "x"},
            "when": f"{__name__}.messages",
            "timing": "page_seconds",
        },
    },
    MODELS: {
        "auth.User": {"created": "accounts", "m2m_changed": "memberships"},
        "auth.user": {"deleted": "leavers"},
        "testapp.Document": {"created": {"slug": "documents", "num": "pages", "labels": {"owner": "owner.username"}}},
        "testapp.Document_tags": {"m2m_changed": "tags"},
    },
    SIGNALS: {LOGGED_IN: {"slug": "visits", "labels": {"user": "user.username", "sender": "sender"}}},
    "APP_METRICS_AUTH": True,
    "APP_METRICS_STRICT": True,
    "APP_METRICS_TIME_ZONE": "Asia/Kathmandu",
    "APP_METRICS_WEEK_START": "sunday",
    "APP_METRIC_BACKEND": "app_metrics.backends.console",
    "APP_METRICS_SETS": {
        "Growth": {"metrics": ["signups"], "recipients": ["team@example.com"], "send": ["daily", "weekly", "monthly"]},
        "Only in the admin": {"metrics": ("signups", "orders")},
    },
    "APP_METRICS_SEND_ZERO_ACTIVITY": False,
    "APP_METRICS_CATCH_UP": 1,
}


@pytest.mark.parametrize("chosen", [{}, GOOD], ids=["defaults", "everything"])
def test_good_settings_get_no_message(chosen, database, settings):
    for name, value in chosen.items():
        setattr(settings, name, value)
    assert messages(databases=[database]) == []


@pytest.mark.urls("tests.support.unsubscribe_urls")
@pytest.mark.parametrize(
    "site",
    [
        "", "example.com", "//example.com", "https://", "ftp://example.com", "https://example.com/?a=b",
        "https://example.com/#top", "https://exa mple.com", "https://example.com\r\nBcc: x", "http://[half", 5,
        "https://example.com:port", "me:hunter2@example.com",
    ],
)  # fmt: skip
def test_an_invalid_base_url_is_an_error(site, settings):
    settings.APP_METRICS_BASE_URL = site
    (message,) = messages()
    assert message.id == "app_metrics.E010"
    assert 'such as "https://example.com", or None.' in message.hint
    assert "hunter2" not in message.msg


def test_the_message_about_a_bad_key_of_unique_counts_does_not_quote_it(settings):
    settings.APP_METRICS_UNIQUE_KEY = "hunter2"
    (message,) = messages()
    assert "hunter2" not in message.msg + message.hint


@pytest.mark.urls("tests.support.unsubscribe_urls")
@pytest.mark.parametrize(
    "site", ["https://example.com", "http://localhost:8000/", "https://example.com/below/it", None]
)
def test_a_base_url_gives_no_message_if_our_urls_are_included(site, settings):
    settings.APP_METRICS_BASE_URL = site
    assert messages() == []


def test_a_site_without_urls_is_not_asked_for_them(settings):
    settings.APP_METRICS_BASE_URL = "https://example.com"
    settings.ROOT_URLCONF = None
    assert messages() == []


def test_every_mistaken_set_gets_a_message_of_its_own(settings):
    settings.APP_METRICS_SETS = {"Bad": {}, "Good": {"metrics": ["x"]}, "Worse": None}
    assert [message.id for message in messages()] == ["app_metrics.E017"] * 2


@pytest.mark.parametrize(
    ("age", "ids"), [(timedelta(hours=23), []), (timedelta(hours=25), ["app_metrics.W003"])], ids=["young", "old"]
)
def test_unaggregated_items_give_a_warning(age, ids, database):
    metric("orders")
    with freeze_time(datetime.now(UTC) + age):
        found = messages(databases=[database])
    assert [message.id for message in found] == ids
    assert all("metrics_aggregate" in message.hint for message in found)


@pytest.mark.django_db
def test_a_sqlite_that_is_too_old_gets_an_error(monkeypatch):
    monkeypatch.setattr(connections["default"].Database, "sqlite_version_info", (3, 34, 1))
    (message,) = messages(databases=["default"])
    assert message.id == "app_metrics.E015"
    assert "SQLite 3.35" in message.hint


@pytest.mark.parametrize(
    "connection",
    [
        SimpleNamespace(vendor="mysql", mysql_is_mariadb=False, mysql_version=(8, 3), display_name="MySQL"),
        SimpleNamespace(vendor="mysql", mysql_is_mariadb=True, mysql_version=(10, 5, 9), display_name="MariaDB"),
        SimpleNamespace(vendor="oracle", display_name="Oracle"),
    ],
    ids=lambda connection: connection.display_name,
)
def test_databases_that_cannot_run_here_get_an_error_too(connection):
    (message,) = checks.databases._unsupported(connection)
    assert message.id == "app_metrics.E015"
    assert "MariaDB" in message.hint


@pytest.mark.every_database
def test_a_database_that_stores_all_characters_gets_no_warning(database):
    assert messages(databases=[database]) == []


@pytest.mark.every_database
def test_w018_warns_of_tables_of_mariadb_that_lack_characters(transactional_database):
    connection = connections[transactional_database]
    if connection.vendor != "mysql":
        pytest.skip("its tables have no encodings")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE app_metrics_narrow (name varchar(9) CHARACTER SET latin1)")
        try:
            (message,) = messages(databases=[transactional_database])
        finally:
            cursor.execute("DROP TABLE app_metrics_narrow")
    assert message.id == "app_metrics.W018"
    assert "latin1" in message.msg
    assert "utf8mb4" in message.hint


@pytest.mark.every_database
def test_w019_warns_of_an_isolation_level_that_keeps_snapshots(transactional_database):
    connection = connections[transactional_database]
    if connection.vendor != "mysql":
        pytest.skip("its default level is the one that is tested")
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        (message,) = messages(databases=[transactional_database])
        connection.close()
    assert message.id == "app_metrics.W019"
    assert "REPEATABLE-READ" in message.msg
    assert "read committed" in message.hint


@pytest.mark.django_db
def test_a_database_that_is_not_migrated_yet_gets_no_message():
    connections["default"].cursor().execute("DROP TABLE app_metrics_item")
    assert messages(databases=["default"]) == []


@pytest.mark.django_db
@pytest.mark.parametrize("databases", [None, ["elsewhere"]])
def test_a_database_that_is_not_asked_about_is_left_alone(databases, django_assert_num_queries):
    with django_assert_num_queries(0):
        checks.check_database(databases=databases)


def test_e016_finds_a_database_with_autocommit_off(monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", False)
    (message,) = checks.check_routing()
    assert message.id == "app_metrics.E016"
    assert "AUTOCOMMIT on" in message.hint


def test_e029_finds_a_driver_whose_deadlocks_are_not_recognised(monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ENGINE", "mysql.connector.django")
    (message,) = checks.check_routing()
    assert message.id == "app_metrics.E030"
    assert "mysqlclient" in message.hint


@pytest.mark.parametrize(
    ("atomic", "options", "ids"),
    [
        (True, {}, ["app_metrics.W012"]),
        (True, {"transaction_mode": "deferred"}, ["app_metrics.W012"]),
        (True, {"transaction_mode": "IMMEDIATE"}, []),
        (True, {"transaction_mode": "exclusive"}, []),
        (False, {}, []),
    ],
)
def test_w012_warns_of_atomic_requests_that_take_the_lock_of_sqlite_late(atomic, options, ids, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic)
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)
    assert [message.id for message in checks.check_routing()] == ids


@pytest.mark.parametrize(
    ("application", "name", "ids"),
    [
        ("print", "application", ["app_metrics.W017"]),
        ("flushing(print)", "application", ["app_metrics.W017"]),
        ("[counting(print)]", "application", []),
        ("print", "missing", []),
        ("1 / 0", "application", []),
    ],
)
def test_w017_warns_before_a_deployment_of_websockets_that_are_not_wrapped(
    application, name, ids, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(asgi, "is_counting", False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "site_asgi", raising=False)
    lines = "from app_metrics.contrib.asgi import counting, flushing", f"application = {application}"
    (tmp_path / "site_asgi.py").write_text("\n".join(lines))
    settings.APP_METRICS_WEBSOCKETS = {"ws/*": "chats"}
    settings.ASGI_APPLICATION = f"site_asgi.{name}"
    found = messages(include_deployment_checks=True)
    assert [message.id for message in found] == ids
    assert all("app_metrics.contrib.asgi.counting" in message.hint for message in found)
    assert messages() == []


@pytest.mark.urls("tests.urls")
def test_names_of_the_admin_are_listed_only_if_the_site_has_no_others(settings):
    settings.ROOT_URLCONF = __name__
    settings.APP_METRICS_URLS = {"zzz": "views"}
    (message,) = messages()
    assert message.hint == "Choose one of shop."
    settings.APP_METRICS_URLS = {"admin:indx": "views"}
    (message,) = messages()
    assert message.hint == "Did you mean 'admin:index'?"


def test_w022_warns_of_a_middleware_that_is_listed_twice(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "app_metrics.middleware.MetricsMiddleware"]
    (message,) = messages()
    assert message.id == "app_metrics.W022"
    assert "2 times; only the first one counts" in message.msg


@pytest.mark.parametrize(
    ("application", "interval", "ids"),
    [
        ("print", 5, ["app_metrics.W024"]),
        ("counting(print)", 5, ["app_metrics.W024"]),
        ("print", 0, []),
        ("[flushing(print)]", 5, []),
        ("ASGIHandler()", 5, []),
        ("1 / 0", 5, []),
    ],
)
def test_w024_warns_before_a_deployment_of_an_application_whose_end_nobody_notices(
    application, interval, ids, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(asgi, "is_flushing", False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "flushed_asgi", raising=False)
    lines = [
        "from django.core.handlers.asgi import ASGIHandler",
        "from app_metrics.contrib.asgi import counting, flushing",
        f"application = {application}",
    ]
    (tmp_path / "flushed_asgi.py").write_text("\n".join(lines))
    settings.APP_METRICS_FLUSH_INTERVAL = interval
    settings.ASGI_APPLICATION = "flushed_asgi.application"
    found = messages(include_deployment_checks=True)
    assert [message.id for message in found] == ids
    assert all("app_metrics.contrib.asgi.flushing" in message.hint for message in found)
    assert messages() == []


def test_w024_does_not_warn_if_there_is_a_journal(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(asgi, "is_flushing", False)
    settings.APP_METRICS_FLUSH_INTERVAL, settings.APP_METRICS_SPOOL_DIR = 5, tmp_path
    settings.APP_METRICS_BACKEND = "tests.transport.test_journal.Ledger"
    settings.ASGI_APPLICATION = "tests.support.waiting.wait_until"
    assert messages(include_deployment_checks=True) == []


@pytest.mark.parametrize("setting", ["TIME_ZONE", "APP_METRICS_TIME_ZONE"])
def test_missing_time_zone_data_give_a_warning_that_names_tzdata(setting, settings, no_time_zones):
    settings.TIME_ZONE, settings.APP_METRICS_TIME_ZONE = "UTC", None
    setattr(settings, setting, "Asia/Kathmandu")
    (message,) = messages()
    assert message.id == "app_metrics.W013"
    assert "Asia/Kathmandu" in message.msg
    assert "pip install tzdata" in message.hint


def test_a_machine_without_data_about_time_zones_needs_none_for_utc(settings, no_time_zones):
    settings.TIME_ZONE, settings.APP_METRICS_TIME_ZONE = "UTC", None
    assert messages() == []


def worse(percent, **rule):
    return {
        **signal_rule(**rule),
        "APP_METRICS_ALERTS": {"Odd": {"metric": "events", "period": "day", "worse": percent}},
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (worse(50, gauge="user.pk"), "No change of 'events' is worse: say which one is better in a rule or"),
        (worse(50, better="neither"), "No change of 'events' is worse"),
        (worse(150), "'events' cannot fall by more than 100 %: write a smaller 'worse'."),
    ],
)
def test_an_alert_about_what_is_worse_that_cannot_fire_is_reported(given, message, settings, db):
    for name, value in given.items():
        setattr(settings, name, value)
    (found,) = check_firing(["default"])
    assert (found.id, found.msg.split("]")[0]) == ("app_metrics.W026", "APP_METRICS_ALERTS['Odd'")
    assert message in found.hint


def test_w030_reminds_of_a_key_before_a_deployment_with_unique_counts(settings, db):
    def found(**options):
        return [each.id for each in messages(**options) if each.id == "app_metrics.W030"]

    everything = {"include_deployment_checks": True, "databases": ["default"]}
    assert found(**everything) == []
    settings.APP_METRICS_URLS = {"page": {"slug": "users", "unique": "request.user.pk"}}
    assert found(**everything) == ["app_metrics.W030"]
    settings.APP_METRICS_URLS = {}
    create_metric("Users", "users", "unique")
    assert found(**everything) == ["app_metrics.W030"]
    assert found(databases=["default"]) == []
    assert found(include_deployment_checks=True) == []
    settings.APP_METRICS_UNIQUE_KEY = "x" * 22
    assert found(**everything) == []


def test_an_alert_that_may_fire_only_by_the_form_of_its_metric_is_not_reported(settings, db):
    for name, value in worse(50, gauge="user.pk").items():
        setattr(settings, name, value)
    create_metric("Events", "events", "gauge", better="up")
    assert check_firing(["default"]) == []


@pytest.mark.parametrize(
    "given",
    [
        worse(100),
        worse(150, better="down"),
        worse(50, gauge="user.pk", better="up"),
        {"APP_METRICS_ALERTS": {"Unknown": {"metric": "by_hand", "period": "day", "worse": 150}}},
    ],
)
def test_an_alert_about_what_is_worse_that_may_fire_is_not_reported(given, settings, db):
    for name, value in given.items():
        setattr(settings, name, value)
    assert check_firing(["default"]) == []
