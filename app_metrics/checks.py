"""System checks: find mistakes in the settings, each with a hint to fix it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.utils import DatabaseError
from django.urls import NoReverseMatch, get_resolver, reverse
from django.utils.module_loading import import_string

from .aggregation.backlog import backlog
from .aggregation.retention import compile_retention
from .api.access import compile_tokens
from .conf import BAD_VALUE, DEFAULT_BACKEND, SETTINGS, backend_path, settings, time_zone, usable
from .contrib import asgi
from .contrib.configured import configured_rules
from .contrib.url_keys import EXCLUDE, UNRESOLVED
from .contrib.url_names import EVERY, is_pattern, matches, shadowed_names, url_names
from .contrib.url_rules import MIDDLEWARE, rules_by_key
from .contrib.url_rules import SETTING as URLS
from .core.plain_text import brief
from .core.setting_rules import SettingError, SettingReader, check_setting, suggest
from .dashboard.health import OLD_BACKLOG
from .models import Item
from .notifications.alert_rules import compile_alerts
from .notifications.milestones import compile_milestones
from .reports.declared_sets import compile_sets
from .reports.recipients import UNSUBSCRIBE
from .storage.dialects import dialect_for
from .transport import spool
from .transport.databases import is_per_tenant
from .transport.loading import get_backend

# What to do if something cannot work with tables in the schema of each tenant.
SHARE = 'list "app_metrics" in SHARED_APPS and not in TENANT_APPS'
# The backends that keep batches outside the database, whatever the tenant.
MIXING = ("app_metrics.backends.redis", "app_metrics.backends.celery")


@register("app_metrics")
def check_rules(**kwargs: Any) -> list[CheckMessage]:
    mistakes = [
        *configured_rules()[1],
        *_unknown_urls(),
        *compile_milestones(settings.APP_METRICS_MILESTONES)[1],
        *compile_alerts(settings.APP_METRICS_ALERTS)[1],
        *compile_retention(settings.APP_METRICS_RETENTION)[1],
        *compile_sets(settings.APP_METRICS_SETS)[1],
        *compile_tokens(settings.APP_METRICS_API_TOKENS)[1],
    ]
    return [mistake.as_check() for mistake in mistakes]


@register("app_metrics")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    return [
        *_unknown_settings(),
        *_bad_values(),
        *_spelled_twice(),
        *_middleware_not_once(),
        *_missing_auth(),
        *_missing_urls(),
        *_ignored_for_tenants(),
        *_mixed_for_tenants(),
        *_missing_zones(),
        *spool.check(),
    ]


@register("app_metrics", deploy=True)
def check_websockets(**kwargs: Any) -> list[CheckMessage]:
    """Import the ASGI application as a server does; only with --deploy, because commands need not load it."""
    path = getattr(settings, "ASGI_APPLICATION", None)  # a setting of Channels
    if settings.APP_METRICS_WEBSOCKETS and path:
        with suppress(Exception):  # the server reports it
            import_string(path)
            return list(_missing_wrapper(path))
    return []


@register("app_metrics")
def check_backend(**kwargs: Any) -> Sequence[CheckMessage]:
    try:
        return get_backend().check()
    except ImproperlyConfigured as error:
        hint = f'Fix it, or set APP_METRICS_BACKEND = "{DEFAULT_BACKEND}".'
        return [Error(str(error), hint=hint, id="app_metrics.E009")]


@register("app_metrics")
def check_routing(**kwargs: Any) -> list[CheckMessage]:
    alias = settings.APP_METRICS_DATABASE
    if alias not in connections.settings:
        return [_unknown_alias(alias)]
    if not connections.settings[alias].get("AUTOCOMMIT", True):
        return [_without_autocommit(alias)]
    if router.db_for_write(Item) != alias:
        return [_routed_elsewhere(alias)]
    return list(_late_locks(alias, connections.settings[alias]))


@register(Tags.database)
def check_database(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    alias = settings.APP_METRICS_DATABASE
    if not databases or alias not in databases or alias not in connections.settings:
        return []
    connection = connections[alias]
    try:
        about_it = list(_unsupported(connection)) or _narrow_encoding(connection)
        return [*about_it, *_old_backlog(), *_at_destination()]
    except DatabaseError:  # not migrated, or not reachable: Django reports that
        return []


def _unknown_alias(alias: str) -> Error:
    return Error(
        f"APP_METRICS_DATABASE names {brief(alias)}, which DATABASES does not have.",
        hint=suggest(alias, list(connections.settings)),
        id="app_metrics.E011",
    )


def _without_autocommit(alias: str) -> Error:
    return Error(
        f"The database {alias!r} has AUTOCOMMIT off, so nothing commits the events of a request.",
        hint="Set APP_METRICS_DATABASE to an alias of the same database with AUTOCOMMIT on.",
        id="app_metrics.E016",
    )


def _routed_elsewhere(alias: str) -> Error:
    return Error(
        f"APP_METRICS_DATABASE is {alias!r}, but the database routers send app_metrics to another one.",
        hint='Add "app_metrics.storage.routers.MetricsRouter" to DATABASE_ROUTERS.',
        id="app_metrics.E012",
    )


def _late_locks(alias: str, database: dict[str, Any]) -> Iterator[CheckMessage]:
    # https://www.sqlite.org/isolation.html: a reader cannot begin to write after another connection has written.
    immediate = str(database["OPTIONS"].get("transaction_mode")).upper() in ("IMMEDIATE", "EXCLUSIVE")
    if connections[alias].vendor == "sqlite" and database["ATOMIC_REQUESTS"] and not immediate:
        yield CheckWarning(
            "With ATOMIC_REQUESTS on SQLite, a request that reads before it writes fails with "
            '"database is locked" if another connection writes in between, as an aggregation does.',
            hint=f'Set DATABASES["{alias}"]["OPTIONS"]["transaction_mode"] = "IMMEDIATE".',
            id="app_metrics.W012",
        )


def _unknown_urls() -> Iterator[SettingError]:
    rules = rules_by_key()
    if not rules or not getattr(settings, "ROOT_URLCONF", None):
        return
    names = list(url_names(get_resolver()))
    shadowed = shadowed_names(names)
    known = sorted({each.name for each in names} - shadowed.keys())
    for key, found in rules.items():
        entry = SettingReader("E002", URLS).entry(key)
        if key in shadowed:
            message = f"counts nothing, because {shadowed[key]!r} comes first and has the same route"
            instead = f'{shadowed[key]!r} instead, with "methods" if their methods differ'
            yield entry.error(message, f"Name {instead}, or give one of the URLs another route.")
        elif key not in (EVERY, UNRESOLVED):
            yield from _unknown_name(entry, key, known, "is")
        for excluded in {each for rule in found for each in rule.options.get(EXCLUDE, ())}:
            yield from _unknown_name(entry, excluded, known, f"excludes {excluded!r}, which is")


def _unknown_name(entry: SettingReader, name: str, known: Sequence[str], verb: str) -> Iterator[SettingError]:
    if not any(matches(name, each) for each in known):
        what = "a pattern of no URL name" if is_pattern(name) else "not a URL name"
        yield entry.error(f"{verb} {what}", suggest(name, known))


def _unknown_settings() -> Iterator[CheckMessage]:
    known = [*(f"APP_METRICS_{name}" for name in SETTINGS), "APP_METRIC_BACKEND"]
    for name in dir(settings):
        if name.startswith("APP_METRIC") and name not in known:
            yield CheckWarning(f"There is no setting {name}.", hint=suggest(name, known), id="app_metrics.W001")


def _bad_values() -> Iterator[CheckMessage]:
    for name, setting in SETTINGS.items():
        if setting.code == BAD_VALUE and (mistake := check_setting(name)):
            yield mistake.as_check()


def _spelled_twice() -> Iterator[CheckMessage]:
    old = getattr(settings, "APP_METRIC_BACKEND", None)
    if old is not None and old != backend_path():
        yield CheckWarning(
            f"APP_METRIC_BACKEND is {brief(old)}, but APP_METRICS_BACKEND is {brief(backend_path())}, which is used.",
            hint="Remove one of them.",
            id="app_metrics.W002",
        )


def _middleware_not_once() -> Iterator[CheckMessage]:
    if not settings.APP_METRICS_URLS:
        return
    times = list(settings.MIDDLEWARE).count(MIDDLEWARE)
    if times == 0:
        yield Error(
            "APP_METRICS_URLS counts nothing without the middleware.",
            hint=f'Put "{MIDDLEWARE}" first in MIDDLEWARE.',
            id="app_metrics.E013",
        )
    elif times > 1:
        yield Error(
            f"APP_METRICS_URLS counts each response {times} times: as often as MIDDLEWARE has the middleware.",
            hint=f'Keep only the first "{MIDDLEWARE}".',
            id="app_metrics.E013",
        )


def _missing_wrapper(path: str) -> Iterator[CheckMessage]:
    if not asgi.is_counting:
        yield CheckWarning(
            f"APP_METRICS_WEBSOCKETS counts nothing, because {brief(path)} does not use counting().",
            hint="Wrap what serves websockets in app_metrics.contrib.asgi.counting().",
            id="app_metrics.W017",
        )


def _missing_auth() -> Iterator[CheckMessage]:
    if settings.APP_METRICS_AUTH and not apps.is_installed("django.contrib.auth"):
        yield Error(
            "APP_METRICS_AUTH counts nothing without django.contrib.auth.",
            hint='Add "django.contrib.auth" to INSTALLED_APPS, or set APP_METRICS_AUTH = False.',
            id="app_metrics.E014",
        )


def _missing_urls() -> Iterator[CheckMessage]:
    if usable("BASE_URL") and getattr(settings, "ROOT_URLCONF", None):
        try:
            reverse(UNSUBSCRIBE, args=["token"])
        except NoReverseMatch:
            yield CheckWarning(
                "APP_METRICS_BASE_URL is set, but reports have no link to unsubscribe.",
                hint='Add path("metrics/", include("app_metrics.urls")) to the URLs of the project.',
                id="app_metrics.W004",
            )


def _ignored_for_tenants() -> Iterator[CheckMessage]:
    if settings.APP_METRICS_SPOOL_DIR and is_per_tenant():
        yield CheckWarning(
            "APP_METRICS_SPOOL_DIR has no effect, because each tenant has its own app_metrics tables.",
            hint=f"Remove it, or {SHARE}.",
            id="app_metrics.W016",
        )


def _mixed_for_tenants() -> Iterator[CheckMessage]:
    """Report backends that keep the batches of all tenants in one place, from which one tenant would get them all."""
    for path in (backend_path(), *usable("COMPOSITE_BACKENDS")):
        if path in MIXING and is_per_tenant():
            yield Error(
                f"{path} mixes the events of all tenants, but each tenant has its own app_metrics tables.",
                hint=f'Set APP_METRICS_BACKEND = "{DEFAULT_BACKEND}", or {SHARE}.',
                id="app_metrics.E027",
            )


def _missing_zones() -> Iterator[CheckMessage]:
    wanted = settings.APP_METRICS_TIME_ZONE or settings.TIME_ZONE
    if time_zone() is UTC and wanted not in (None, "", "UTC"):
        yield CheckWarning(
            f"This machine has no data about the time zone {brief(wanted)}, so days begin at midnight in UTC.",
            hint="Run: pip install tzdata",
            id="app_metrics.W013",
        )


def _unsupported(connection: Any) -> Iterator[CheckMessage]:
    if connection.vendor == "mysql" and not connection.mysql_is_mariadb:
        found = "MySQL, which has no DELETE … RETURNING"
    elif connection.vendor == "sqlite" and connection.Database.sqlite_version_info < (3, 35):
        found = f"SQLite {connection.Database.sqlite_version}, which has no RETURNING"
    elif connection.vendor not in ("sqlite", "postgresql", "mysql"):
        found = connection.display_name
    else:
        return
    yield Error(
        f"app_metrics cannot aggregate on {found}.",
        hint="Set APP_METRICS_DATABASE to an alias of PostgreSQL, MariaDB 10.6 or later, or SQLite 3.35 or later.",
        id="app_metrics.E015",
    )


def _narrow_encoding(connection: Any) -> Iterator[CheckMessage]:
    if encoding := dialect_for(connection).narrow_encoding(connection):
        yield CheckWarning(
            f"The encoding of the database is {encoding}, so it cannot store every label, name and mail.",
            hint="Set APP_METRICS_DATABASE to an alias of a database with the encoding UTF8 (PostgreSQL) or utf8mb4 "
            "(MariaDB).",
            id="app_metrics.W018",
        )


def _at_destination() -> Sequence[CheckMessage]:
    try:
        return get_backend().check_destination()
    except ImproperlyConfigured:  # E009
        return []


def _old_backlog() -> Iterator[CheckMessage]:
    pending = backlog()
    if pending.age > OLD_BACKLOG:
        yield CheckWarning(
            f"{pending.items} items are pending; the oldest is {pending.age / 3600:.0f} hours old.",
            hint="Run `manage.py metrics_aggregate` regularly, for instance from cron.",
            id="app_metrics.W003",
        )
