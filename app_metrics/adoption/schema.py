"""Give an old database our tables: the old rows go aside, two tables change in place, the others are created.

Metrics and metric sets keep their primary keys, and with them the foreign keys of the project. Each step can be
repeated, because MariaDB and MySQL cannot undo those before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState

from .old_tables import APP, KEPT, METRIC, OLD, SET, OldRows, aside, tables_of
from .progress import Progress
from .shape import MEMBERS, RECIPIENTS, Shape, column_names, from_json, is_unique, read_shape

MIGRATION = "0001_app_metrics"
MODELS = {METRIC: "Metric", SET: "MetricSet"}
IN_PLACE = {name.lower(): table for table, name in MODELS.items()}
_COPYING = "app_metrics_old_copying"


def set_aside(connection: Any) -> None:
    """Put the old rows into tables without foreign keys and, but on MariaDB and MySQL, without other constraints."""
    # Those that stay come last, so that they have each metric of the events.
    for table in (*OLD, *KEPT):
        found = tables_of(connection)
        if table not in found or aside(table) in found:
            continue
        if table in OLD and connection.vendor == "mysql":
            _move(connection, table)
            continue
        _copy(connection, table, found)
        if table in OLD:
            _execute(connection, f"DROP TABLE {_quoted(connection, table)}")


def _move(connection: Any, table: str) -> None:
    """Rename a table without its foreign keys. Both wait for transactions that use it, so their rows come along.

    A copy would lack those rows, because nothing can lock the table until it is dropped. PostgreSQL can, and there the
    names of its constraints and indexes could be in the way of ours.
    """
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    for name in sorted(name for name, each in constraints.items() if each["foreign_key"]):
        _execute(connection, f"ALTER TABLE {table} DROP FOREIGN KEY {_quoted(connection, name)}")
    _execute(connection, f"ALTER TABLE {table} RENAME TO {aside(table)}")


def _copy(connection: Any, table: str, found: set[str]) -> None:
    copy = aside(table)
    if _COPYING in found:  # a killed run left it unfinished
        _execute(connection, f"DROP TABLE {_COPYING}")
    # Some servers of MySQL refuse a table without a primary key.
    key = " (PRIMARY KEY (id))" if connection.vendor == "mysql" else ""
    _execute(connection, f"CREATE TABLE {_COPYING}{key} AS SELECT * FROM {_quoted(connection, table)}")  # noqa: S608
    if "metric_id" in column_names(connection, _COPYING):
        _execute(connection, f"CREATE INDEX {copy}_by_metric ON {_COPYING} (metric_id)")
    _execute(connection, f"ALTER TABLE {_COPYING} RENAME TO {copy}")


def shape_of(connection: Any, progress: Progress) -> Shape:
    """Return what the old tables were like; a later run gets it from the first one."""
    if (known := progress.get("shape")) is None:
        known = read_shape(connection)
        progress.set("shape", known)
    return from_json(known)


def rename(connection: Any, slugs: dict[int, str], names: dict[int, str]) -> None:
    """Give metrics and sets the slugs and names that are allowed, and a set without mails no periods."""
    rows = OldRows(connection)
    renamed = [each.pk for each in rows.metrics() if slugs[each.pk] != each.slug]
    with connection.cursor() as cursor:
        # First unlike all others, because the column may take a new slug for equal to an old one: "a-x" and "à-x".
        # Not on PostgreSQL, which compares exactly and cannot alter a table after a second update of a row.
        apart = [{pk: uuid4().hex for pk in renamed}] if connection.vendor == "mysql" else []
        for new in (*apart, slugs):
            for pk in renamed:
                cursor.execute(f"UPDATE {METRIC} SET slug = %s WHERE id = %s", [new[pk], pk])  # noqa: S608
        for each in rows.sets():
            if names[each.pk] != each.name:
                cursor.execute(f"UPDATE {SET} SET name = %s WHERE id = %s", [names[each.pk], each.pk])  # noqa: S608
            if each.no_email:
                sql = f"UPDATE {SET} SET send_daily = %s, send_weekly = %s, send_monthly = %s WHERE id = %s"  # noqa: S608
                cursor.execute(sql, [False, False, False, each.pk])


def alter(connection: Any, shape: Shape, progress: Progress) -> None:
    """Change the tables of metrics and metric sets in place."""
    _apply(connection, _old_state(connection, shape), list(_changes(connection, shape)), progress, "altered")


def create(connection: Any, progress: Progress) -> None:
    """Create our other tables and columns, as the migrations do."""
    # Without the functions of the migrations: what is pending beside the database belongs to this one.
    wanted = [each for each in _operations(connection) if not isinstance(each, migrations.RunPython)]
    state = ProjectState()
    state.add_model(_users())
    _apply(connection, state, wanted, progress, "created")


def record(connection: Any) -> None:
    """Note our migrations as applied, and forget those of a fork."""
    recorder = MigrationRecorder(connection)
    recorder.ensure_schema()
    recorder.migration_qs.filter(app=APP).delete()
    for name in _names(MigrationLoader(connection)):
        recorder.record_applied(APP, name)


def missing_dependencies(connection: Any) -> list[str]:
    """Return the apps whose migrations ours depend on and that are not applied."""
    loader = MigrationLoader(connection)
    parents = loader.graph.node_map[APP, MIGRATION].parents
    return sorted({parent.key[0] for parent in parents if parent.key not in loader.applied_migrations})


def _apply(connection: Any, state: ProjectState, operations: list[Operation], progress: Progress, name: str) -> None:
    steps = list(enumerate(operations))
    # An editor runs some of its statements at its end.
    parts = [steps] if connection.features.can_rollback_ddl else [[step] for step in steps]
    done = progress.get(name, 0)
    for part in parts:
        with _editor(connection) as editor:
            for number, operation in part:
                before = state.clone()
                operation.state_forwards(APP, state)
                if number >= done and not _is_done(connection, operation):
                    operation.database_forwards(APP, editor, before, state)
        if part[-1][0] >= done:
            progress.set(name, part[-1][0] + 1)


@contextmanager
def _editor(connection: Any) -> Iterator[Any]:
    """Open an editor, and close it unless there was an error: SQLite's would then fail too, and hide the cause."""
    editor = connection.schema_editor(atomic=False).__enter__()
    yield editor
    editor.__exit__(None, None, None)


def _is_done(connection: Any, operation: Operation) -> bool:
    """Return whether an operation has nothing to do; remove what a killed run has left of it."""
    if isinstance(operation, migrations.CreateModel):
        return _is_created(connection, operation)
    table = f"{APP}_{getattr(operation, 'model_name_lower', '')}"
    if isinstance(operation, migrations.AddField):
        return operation.name in column_names(connection, table)
    if isinstance(operation, migrations.RemoveField):
        return operation.name not in column_names(connection, table)
    with connection.cursor() as cursor:
        if isinstance(operation, migrations.AddConstraint):
            return operation.constraint.name in connection.introspection.get_constraints(cursor, table)
        return isinstance(operation, _Unique) and is_unique(connection, cursor, table, operation.name)


def _is_created(connection: Any, operation: migrations.CreateModel) -> bool:
    table = f"{APP}_{operation.name_lower}"
    if operation.name_lower not in IN_PLACE and table in tables_of(connection):
        _execute(connection, f"DROP TABLE {table}")  # without its foreign keys, perhaps
    return operation.name_lower in IN_PLACE


def _to_drop(connection: Any, shape: Shape, table: str) -> list[str]:
    return [] if connection.vendor == "sqlite" else shape.extra[table]


class _Leave(migrations.RemoveField):
    """Drop a column, with the constraints it has part in: the state does not know them."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "mysql":  # PostgreSQL drops them with the column
            model = from_state.apps.get_model(app_label, self.model_name)
            self._drop_constraints(schema_editor, model._meta.db_table)
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def _drop_constraints(self, schema_editor: Any, table: str) -> None:
        with schema_editor.connection.cursor() as cursor:
            found = schema_editor.connection.introspection.get_constraints(cursor, table)
        mine = {name: each for name, each in found.items() if self.name in each["columns"]}
        # Foreign keys first, because they need their index.
        for name in sorted(mine, key=lambda name: not mine[name]["foreign_key"]):
            if mine[name]["foreign_key"]:
                schema_editor.execute(f"ALTER TABLE {table} DROP FOREIGN KEY {schema_editor.quote_name(name)}")
            elif len(mine[name]["columns"]) > 1:
                schema_editor.execute(f"ALTER TABLE {table} DROP INDEX {schema_editor.quote_name(name)}")


class _Unique(migrations.AlterField):
    """Add the unique constraint of a column, and nothing else."""


def _old_state(connection: Any, shape: Shape) -> ProjectState:
    """Return the models of the old tables that change in place, and of those that refer to them."""
    state = ProjectState()
    state.add_model(_users())
    for table, fields in _old_fields(shape).items():
        extra = [(name, models.IntegerField(null=True, db_column=name)) for name in _to_drop(connection, shape, table)]
        state.add_model(ModelState(APP, MODELS[table], [*fields, *extra], {"db_table": table}))
    # SQLite copies a table with the columns that are named here, and so it leaves out those of forks.
    if connection.vendor != "sqlite":
        for number, (table, column, to, is_null) in enumerate(shape.references):
            key = models.ForeignKey(
                f"{APP}.{MODELS[to]}", models.CASCADE, null=is_null, db_column=column, related_name="+"
            )
            fields = [("pk_of_it", models.BigAutoField(primary_key=True)), ("target", key)]
            state.add_model(ModelState(APP, f"Reference{number}", fields, {"db_table": table}))
    return state


def _old_fields(shape: Shape) -> dict[str, list[tuple[str, Any]]]:
    def key(table: str) -> tuple[str, Any]:
        return "id", (models.BigAutoField if shape.big[table] else models.AutoField)(primary_key=True)

    flag = partial(models.BooleanField, default=False)
    people = models.ManyToManyField(get_user_model()._meta.label, db_table=RECIPIENTS, related_name="+")
    return {
        METRIC: [
            key(METRIC),
            ("name", models.CharField(max_length=50)),
            ("slug", models.SlugField(max_length=60, unique=shape.is_slug_unique)),
        ],
        SET: [
            key(SET),
            ("name", models.CharField(max_length=50)),
            *((f"send_{period}", flag()) for period in ("daily", "weekly", "monthly")),
            ("metrics", models.ManyToManyField(f"{APP}.Metric", db_table=MEMBERS)),
            ("email_recipients", people),
        ],
    }


def _users() -> ModelState:
    """Return the state of the user model with nothing but its key."""
    user = get_user_model()._meta
    key: Any = user.pk
    while key.remote_field:  # a model that inherits has a link to its parent as its key
        key = key.target_field
    _, _, arguments, options = key.deconstruct()
    own = type(key)(*arguments, **{**options, "db_column": user.pk.column, "primary_key": True})
    return ModelState(user.app_label, str(user.object_name), [(user.pk.name, own)], {"db_table": user.db_table})


def _changes(connection: Any, shape: Shape) -> Iterator[Operation]:
    """Yield what turns the old tables into ours; each is one thing that can be seen in the database."""
    target = _target(connection)
    for table, model in MODELS.items():
        yield from (_Leave(model, name) for name in _to_drop(connection, shape, table))
        fields = target[model]
        if not shape.big[table]:
            yield migrations.AlterField(model, "id", fields["id"])
        yield from _texts(model, fields, {"slug"} if shape.is_slug_unique else set())
        known = {"id", "name", "slug", "metrics", "email_recipients", "send_daily", "send_weekly", "send_monthly"}
        yield from (migrations.AddField(model, name, field) for name, field in fields.items() if name not in known)


def _texts(model: str, fields: dict[str, Any], unique: Iterable[str]) -> Iterator[Operation]:
    for name in [each for each in ("name", "slug") if each in fields]:
        plain = fields[name].clone()
        plain._unique = name in unique
        yield migrations.AlterField(model, name, plain)
        if fields[name].unique and name not in unique:
            yield _Unique(model, name, fields[name])


def _target(connection: Any) -> dict[str, dict[str, Any]]:
    """Return the fields with which the migrations create our models."""
    created = [each for each in _operations(connection) if isinstance(each, migrations.CreateModel)]
    return {each.name: dict(each.fields) for each in created if each.name in MODELS.values()}


def _operations(connection: Any) -> Sequence[Operation]:
    """Return the operations of our migrations."""
    loader = MigrationLoader(connection)
    return [each for name in _names(loader) for each in loader.get_migration(APP, name).operations]


def _names(loader: MigrationLoader) -> list[str]:
    """Return the names of our migrations, in their order."""
    (leaf,) = loader.graph.leaf_nodes(APP)
    return [name for app, name in loader.graph.forwards_plan(leaf) if app == APP]


def _execute(connection: Any, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _quoted(connection: Any, table: str) -> str:
    name: str = connection.ops.quote_name(table)
    return name
