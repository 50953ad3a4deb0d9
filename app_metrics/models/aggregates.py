"""Merge summaries in the database, so that label sets need not be read one by one."""

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import Aggregate, Max, Min, Sum, Value

from ..core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ..core.summary import FIELDS, LATEST, MAX, MIN, NAMES, SUM
from .fields import SketchField

# SQLite stores decimals as text, which only Python adds exactly.
EXACT_VENDORS = ("postgresql", "mysql")


class Latest(Aggregate):
    """The number of the row with the latest `last_at`."""

    name = "Latest"
    arity = 2

    def __init__(self, column: str, at: str = "last_at", **extra: Any) -> None:
        super().__init__(column, at, **extra)

    def _resolve_output_field(self) -> Any:
        return self.get_source_fields()[0]

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "(ARRAY_AGG(%(expressions)s DESC))[1]"
        return super().as_sql(compiler, connection, template=template, arg_joiner=" ORDER BY ", **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        number = f"DECIMAL({MAX_DIGITS}, {DECIMAL_PLACES})"
        template = f"CAST(SUBSTRING_INDEX(GROUP_CONCAT(%(expressions)s DESC), ',', 1) AS {number})"
        return super().as_sql(compiler, connection, template=template, arg_joiner=" ORDER BY ", **context)


class NoSketch(Value):
    """NULL as a column of a sketch."""

    def __init__(self) -> None:
        super().__init__(None, SketchField())

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # In the first part of a union, a NULL without a type is text.
        return "NULL::bytea", []


AGGREGATES = {SUM: Sum, MIN: Min, MAX: Max, LATEST: Latest}


def are_exact(rows: Any) -> bool:
    """Return whether the database of a queryset merges summaries exactly."""
    return connections[rows.db].vendor in EXACT_VENDORS


def merged(rows: Any, *by: str, sketches: Sequence[str] = ()) -> Any:
    """Return a queryset of tuples: the columns `by`, and the fields of the summaries merged by these columns.

    The columns of sketches, which databases cannot merge, are NULL.
    """
    # An annotation must not have the name of a column.
    annotations = {f"merged_{field.name}": AGGREGATES[field.rule](field.name) for field in FIELDS}
    annotations |= {f"no_{name}": NoSketch() for name in sketches}
    return rows.order_by().values(*by).annotate(**annotations).values_list(*by, *annotations)


def unmerged(rows: Any, *by: str, sketches: Sequence[str] = ()) -> Any:
    """Return a queryset of tuples as `merged` does, one for each stored summary, with some of its sketches."""
    return rows.order_by().values_list(*by, *NAMES, *sketches)


def fetched(rows: Any) -> Any:
    """Return the rows of a queryset, fetched in the fastest way.

    On PostgreSQL, iterator() takes nine times as long, because its cursor is planned as if only the first rows were
    needed. SQLite may return many rows, because it cannot merge them exactly, so they are read one by one.
    """
    return rows if are_exact(rows) else rows.iterator()
