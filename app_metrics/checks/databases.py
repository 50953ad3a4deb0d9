"""Check the database and its routing, and what is pending there and at the destination."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.utils import DatabaseError

from ..adoption.old_tables import PROGRESS, to_adopt
from ..aggregation.backlog import backlog
from ..conf import settings
from ..core.plain_text import brief
from ..core.setting_rules import suggest
from ..dashboard.health import OLD_BACKLOG
from ..models import Item
from ..storage.dialects import VENDORS, dialect_for
from ..transport.loading import get_backend


@register("app_metrics")
def check_routing(**kwargs: Any) -> list[CheckMessage]:
    alias = settings.APP_METRICS_DATABASE
    if alias not in connections.settings:
        return [_unknown_alias(alias)]
    if not connections.settings[alias].get("AUTOCOMMIT", True):
        return [_without_autocommit(alias)]
    if connections.settings[alias]["ENGINE"].startswith("mysql.connector"):
        return [_unsupported_driver(alias)]
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
        about_it = list(_unsupported(connection)) or [*_narrow_encoding(connection), *_snapshots(connection)]
        return [*about_it, *_old_backlog(), *_at_destination()]
    except DatabaseError:  # not migrated, or not reachable: Django reports that
        return []


@register(Tags.database)
def check_adoption(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Stop `migrate` at the tables of the predecessor: it would fail halfway, or take them for ours."""
    known = [alias for alias in databases or () if alias in connections.settings]
    # `migrate` creates the tables in other databases, too.
    looked_at = [alias for alias in known if router.allow_migrate(alias, Item._meta.app_label)]
    return [_unadopted(alias, found) for alias in looked_at if (found := _to_adopt(alias))]


def _to_adopt(alias: str) -> list[str]:
    try:
        return to_adopt(connections[alias])
    except DatabaseError:  # not reachable: Django reports that
        return []


def _unadopted(alias: str, found: Sequence[str]) -> Error:
    if alias != settings.APP_METRICS_DATABASE:
        return Error(
            f"The database {alias!r} has tables of django-app-metrics 0.9 or a fork of it: {', '.join(found)}.",
            hint=f"Set APP_METRICS_DATABASE to {alias!r} and run `manage.py metrics_adopt`, which works on that "
            "database only; or drop these tables if you do not need them.",
            id="app_metrics.E029",
        )
    if PROGRESS in found:
        return Error(
            "The adoption of the old tables is not finished.",
            hint="Run `manage.py metrics_adopt` again; it continues.",
            id="app_metrics.E029",
        )
    return Error(
        f"The database has tables of django-app-metrics 0.9 or a fork of it: {', '.join(found)}.",
        hint="Back up the database, and run `manage.py metrics_adopt --dry-run`, then `manage.py metrics_adopt`.",
        id="app_metrics.E029",
    )


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


def _unsupported_driver(alias: str) -> Error:
    return Error(
        f"The database {alias!r} uses the driver mysql.connector. It raises deadlocks and lock timeouts as errors "
        "that are not recognised, so these transactions would not be tried again.",
        hint=f'Install mysqlclient, and set DATABASES["{alias}"]["ENGINE"] = "django.db.backends.mysql".',
        id="app_metrics.E030",
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


def _unsupported(connection: Any) -> Iterator[CheckMessage]:
    known = connection.vendor in VENDORS
    if found := dialect_for(connection).unsupported(connection) if known else connection.display_name:
        yield Error(
            f"app_metrics cannot aggregate on {found}.",
            hint="Set APP_METRICS_DATABASE to an alias of PostgreSQL, MariaDB 10.6, MySQL 8.4, SQLite 3.35, or later.",
            id="app_metrics.E015",
        )


def _narrow_encoding(connection: Any) -> Iterator[CheckMessage]:
    if encoding := dialect_for(connection).narrow_encoding(connection):
        yield CheckWarning(
            f"The encoding of the database is {encoding}, so it cannot store every label, name and mail.",
            hint="Set APP_METRICS_DATABASE to an alias of a database with the encoding UTF8 (PostgreSQL) or utf8mb4 "
            "(MariaDB, MySQL).",
            id="app_metrics.W018",
        )


def _snapshots(connection: Any) -> Iterator[CheckMessage]:
    level = dialect_for(connection).isolation_level(connection)
    if level not in (None, "READ-COMMITTED"):
        yield CheckWarning(
            f"The isolation level of the database {connection.alias!r} is {level}, so an aggregation locks out writers "
            "that insert items, and is tried again if another process creates a metric.",
            hint=f'Set DATABASES["{connection.alias}"]["OPTIONS"]["isolation_level"] = "read committed".',
            id="app_metrics.W019",
        )


def _old_backlog() -> Iterator[CheckMessage]:
    pending = backlog()
    if pending.age > OLD_BACKLOG:
        yield CheckWarning(
            f"{pending.items} items are pending; the oldest is {pending.age / 3600:.0f} hours old.",
            hint="Let the autopilot aggregate (APP_METRICS_AUTOPILOT), or run `manage.py metrics_aggregate` regularly.",
            id="app_metrics.W003",
        )


def _at_destination() -> Sequence[CheckMessage]:
    try:
        return get_backend().check_destination()
    except ImproperlyConfigured:  # E009
        return []
