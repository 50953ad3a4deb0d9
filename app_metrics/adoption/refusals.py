"""Refuse a database that cannot be adopted, before anything changes."""

from typing import Any

from django.apps import apps
from django.db.migrations.exceptions import NodeNotFoundError

from . import schema
from .old_tables import APP, OLD, PROGRESS, CannotAdopt, aside, missing, tables_of, to_adopt, twice
from .shape import foreign_references, without_foreign_keys


def refuse(connection: Any) -> None:
    """Raise CannotAdopt unless there is something to adopt, or to continue, and nothing in the way."""
    found = to_adopt(connection)
    if not found:
        raise CannotAdopt("There is nothing to adopt: the database has no tables of django-app-metrics 0.9.")
    if PROGRESS not in found:
        _refuse_both(connection)
    if both := twice(connection):
        raise CannotAdopt(
            f"There are both {both[0]} and {aside(both[0])}, which an earlier adoption left. Drop or rename the tables "
            "app_metrics_old_… that you do not need, and the table app_metrics_adoption if you restored a backup."
        )
    if references := foreign_references(connection):
        named = ", ".join(f"{table}.{column}" for table, column, *_ in references)
        raise CannotAdopt(f"Foreign keys refer to tables that would be dropped: {named}. Remove them first.")
    if tables := without_foreign_keys(connection):
        statements = " ".join(f"ALTER TABLE {table} ENGINE = InnoDB;" for table in tables)
        raise CannotAdopt(f"These tables cannot have foreign keys; run this in the database first: {statements}")
    _refuse_missing_migrations(connection)
    if tables := missing(connection):
        raise CannotAdopt(f"The table {tables[0]} is missing. Restore it from a backup.")


def _refuse_missing_migrations(connection: Any) -> None:
    try:
        left = schema.missing_dependencies(connection)
    except NodeNotFoundError as error:
        if error.node[0] != APP or not error.origin:
            raise
        path = error.origin.__module__.replace(".", "/")
        raise CannotAdopt(
            f"A migration of the project depends on one of the old version. In {path}.py, change the dependency "
            f'("{APP}", "{error.node[1]}") to ("{APP}", "{schema.MIGRATION}").'
        ) from error
    if left:
        # A database of Django 1.6 has tables, but no record of migrations.
        fake = " --fake-initial" if _tables_of_app(left[0]) & tables_of(connection) else ""
        raise CannotAdopt(f"Migrations are missing; run manage.py migrate {left[0]}{fake} --skip-checks first.")


def _refuse_both(connection: Any) -> None:
    if both := sorted((_tables_of_app(APP) - {*schema.MODELS, *OLD}) & tables_of(connection)):
        raise CannotAdopt(
            f"The database has tables of both versions, such as {both[0]}: a migration ran over the old ones. Restore "
            "the backup from before it."
        )


def _tables_of_app(label: str) -> set[str]:
    return {model._meta.db_table for model in apps.get_app_config(label).get_models()}
