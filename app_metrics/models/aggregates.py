"""Merge summaries in the database, so that label sets need not be read one by one."""

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import Aggregate, BooleanField, F, Func, Max, Min, Q, Sum, Value

from ..core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ..core.summary import COUNT, FIELDS, LATEST, MAX, MIN, NAMES, NUMBER, SUM, TIME, Field
from .fields import SketchField

# SQLite stores decimals as text, of which it merges only those that are `mergeable` exactly.
EXACT_VENDORS = ("postgresql", "mysql")
# The nine decimal places of a number as an integer, and how many of these are 1.
BILLION = 10**9
PLACES = (
    "CASE INSTR(%(expressions)s, '.') WHEN 0 THEN 0"
    " ELSE CAST(SUBSTR(%(expressions)s || '00000000', INSTR(%(expressions)s, '.') + 1, 9) AS integer) END"
)


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

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        column, at = (compiler.compile(each)[0] for each in self.get_source_expressions()[:2])
        return f"SUBSTR(MAX({at} || {column}), 17)", []

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


class ExactSum(Sum):
    """The sum of decimals; on SQLite, whole parts and decimal places are added as integers."""

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        whole, places = "SUM(CAST(%(expressions)s AS integer))", f"SUM({PLACES})"
        template = f"({whole} + {places} / {BILLION}) || '.' || SUBSTR('00000000' || ({places} %%%% {BILLION}), -9)"
        return self.as_sql(compiler, connection, template=template, **context)


class ExactMin(Min):
    """The smallest decimal; on SQLite, floats of up to 15 digits are compared."""

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "%(function)s(CAST(%(expressions)s AS real))"
        return self.as_sql(compiler, connection, template=template, **context)


class ExactMax(ExactMin):
    function = "MAX"


class Is(Func):
    """A condition on a column."""

    output_field = BooleanField()

    def __init__(self, condition: str, column: str) -> None:
        super().__init__(F(column), template=f"({condition})")


AGGREGATES = {SUM: Sum, MIN: Min, MAX: Max, LATEST: Latest}
OF_DECIMALS = {**AGGREGATES, SUM: ExactSum, MIN: ExactMin, MAX: ExactMax}
# What SQLite merges exactly: sums of millions of small numbers fit into 64 bits, floats hold 15 digits, and a time of
# 16 digits (the years 2001 to 2286) is compared as text. Negative and very large sums are rare, and so are exponents.
_SMALL = "CAST(%(expressions)s AS integer) < 1000000000000"
_SHORT = "LENGTH(RTRIM(%(expressions)s, '0')) < 16"
MERGEABLE = {
    (COUNT, SUM): _SMALL,
    (NUMBER, SUM): f"{_SMALL} AND %(expressions)s >= '0' AND INSTR(%(expressions)s, 'E') = 0",
    (NUMBER, MIN): _SHORT,
    (NUMBER, MAX): _SHORT,
    (TIME, MAX): "%(expressions)s BETWEEN 1000000000000000 AND 9999999999999999",
}


def mergeable(rows: Any) -> Q | None:
    """Return the condition for the rows that the database of a queryset merges exactly; None if it does so for all."""
    if are_exact(rows):
        return None
    conditions = ((MERGEABLE.get((field.holds, field.rule)), field.name) for field in FIELDS)
    return Q(*(Is(condition, name) for condition, name in conditions if condition))


def are_exact(rows: Any) -> bool:
    """Return whether the database of a queryset merges all summaries exactly."""
    return connections[rows.db].vendor in EXACT_VENDORS


def merged(rows: Any, *by: str, sketches: Sequence[str] = ()) -> Any:
    """Return a queryset of tuples: the columns `by`, and the fields of the summaries merged by these columns.

    The columns of sketches, which databases cannot merge, are NULL.
    """
    # An annotation must not have the name of a column.
    annotations = {f"merged_{field.name}": _aggregate(field)(field.name) for field in FIELDS}
    annotations |= {f"no_{name}": NoSketch() for name in sketches}
    return rows.order_by().values(*by).annotate(**annotations).values_list(*by, *annotations)


def _aggregate(field: Field) -> Any:
    return (OF_DECIMALS if field.holds == NUMBER else AGGREGATES)[field.rule]


def unmerged(rows: Any, *by: str, sketches: Sequence[str] = ()) -> Any:
    """Return a queryset of tuples as `merged` does, one for each stored summary, with some of its sketches."""
    return rows.order_by().values_list(*by, *NAMES, *sketches)


def fetched(rows: Any) -> Any:
    """Return the rows of a queryset, fetched in the fastest way.

    On PostgreSQL, iterator() takes nine times as long, because its cursor is planned as if only the first rows were
    needed. SQLite may return many rows, because it cannot merge them exactly, so they are read one by one.
    """
    return rows if are_exact(rows) else rows.iterator()
