"""What must be known of the old tables before they change: their keys, their columns, and who refers to them."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

from .old_tables import KEPT, METRIC, OLD, SET, tables_of

RECIPIENTS, MEMBERS = "app_metrics_metricset_email_recipients", "app_metrics_metricset_metrics"
EXPECTED = {
    METRIC: ("id", "name", "slug"),
    SET: ("id", "name", "send_daily", "send_weekly", "send_monthly"),
}


class Reference(NamedTuple):
    """A foreign key of another table."""

    table: str
    column: str
    to: str
    is_null: bool


class Shape(NamedTuple):
    """The facts about the old tables, which JSON can hold."""

    # By table: whether its primary key is a bigint already, and the columns that a fork has added.
    big: dict[str, bool]
    extra: dict[str, list[str]]
    is_slug_unique: bool
    # Foreign keys of the project.
    references: list[Reference]


def read_shape(connection: Any) -> Shape:
    with connection.cursor() as cursor:
        described = {table: connection.introspection.get_table_description(cursor, table) for table in KEPT}
        return Shape(
            {table: _is_big(connection, described[table]) for table in KEPT},
            {table: [each.name for each in described[table] if each.name not in EXPECTED[table]] for table in KEPT},
            is_unique(connection, cursor, METRIC, "slug"),
            [each for each in _references(connection, cursor) if each.to in KEPT],
        )


def from_json(shape: list[Any]) -> Shape:
    big, extra, is_slug_unique, references = shape
    return Shape(big, extra, is_slug_unique, [Reference(*each) for each in references])


def foreign_references(connection: Any) -> list[Reference]:
    """Return the foreign keys of the project to tables that the adoption takes away."""
    with connection.cursor() as cursor:
        return [each for each in _references(connection, cursor) if each.to in OLD]


def without_foreign_keys(connection: Any) -> list[str]:
    """Return the tables that stay and whose storage engine knows no foreign keys: MyISAM, the default until 2010."""
    if connection.vendor != "mysql":
        return []
    with connection.cursor() as cursor:
        return sorted({*KEPT, MEMBERS, RECIPIENTS} & _of_other_engines(cursor))


def _of_other_engines(cursor: Any) -> set[str]:
    cursor.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND engine <> 'InnoDB'"
    )
    return {name for (name,) in cursor.fetchall()}


def equal_in(connection: Any, table: str) -> Callable[[str], str]:
    """Return a function that returns equal keys for texts that a column of this table takes for equal."""
    if connection.vendor != "mysql":
        return str
    with connection.cursor() as cursor:
        # Altered columns get the collation of the table, not that of the old column.
        cursor.execute(
            "SELECT table_collation FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
            [table],
        )
        (collation,) = cursor.fetchone()
    return lru_cache(maxsize=None)(partial(_weights, connection, collation))


def _weights(connection: Any, collation: str, text: str) -> str:
    """Return what the server compares: under some collations, all emoji are equal. Many ignore spaces at the end."""
    charset = collation.partition("_")[0]
    with connection.cursor() as cursor:
        sql = f"SELECT HEX(WEIGHT_STRING(CONVERT(%s USING {charset}) COLLATE {collation}))"
        cursor.execute(sql, [text.rstrip()])
        (weights,) = cursor.fetchone()
    return str(weights)


def is_unique(connection: Any, cursor: Any, table: str, column: str) -> bool:
    constraints = connection.introspection.get_constraints(cursor, table).values()
    return any(each["unique"] and each["columns"] == [column] for each in constraints)


def column_names(connection: Any, table: str) -> set[str]:
    with connection.cursor() as cursor:
        return {each.name for each in connection.introspection.get_table_description(cursor, table)}


def _is_big(connection: Any, columns: Any) -> bool:
    key = next(each for each in columns if each.name == "id")
    return str(connection.introspection.get_field_type(key.type_code, key)).startswith("Big")


def _references(connection: Any, cursor: Any) -> Iterator[Reference]:
    own = {*KEPT, *OLD, RECIPIENTS, MEMBERS}
    for table in sorted(tables_of(connection) - own):
        relations = connection.introspection.get_relations(cursor, table)
        columns = {column: to[1] for column, to in relations.items() if to[1] in own}
        if columns:
            described = connection.introspection.get_table_description(cursor, table)
            nullable = {each.name: bool(each.null_ok) for each in described}
            yield from (Reference(table, column, to, nullable[column]) for column, to in columns.items())
