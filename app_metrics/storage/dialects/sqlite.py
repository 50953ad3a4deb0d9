"""SQLite: it has no exact decimals, so functions in Python merge those of totals.

Rows are sent as one JSON parameter, because SQLite limits the number of parameters of a statement. A few items are sent
as parameters, which SQLite reads in little more than half the time.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import OperationalError

from ...core.numbers import COUNT_LIMIT, EXACT, TOTAL_LIMIT, Number, digits
from ...core.summary import (
    COUNT,
    FIELDS,
    LATEST,
    MAX,
    MIN,
    NUMBER,
    SKETCHED,
    SUM,
    TIME,
    UNION,
    Field,
    Summary,
    check_sums,
)
from . import base
from .base import (
    ITEM_COLUMNS,
    LONG,
    PLAIN_TOTAL_COLUMNS,
    SKETCH_COLUMNS,
    TOTAL_KEY,
    Claim,
    Row,
    TotalKey,
    columns,
)

# SQLite folds an item exactly if its numbers are integers so small that 64 bits hold the sum of the largest chunk, and
# if its time has 16 digits (the years 2001 to 2286). All other items are folded in Python, and those with a sketch.
IS_PLAIN = {
    COUNT: "typeof({0}) = 'integer' AND {0} BETWEEN 1 AND 10000000000000",
    NUMBER: "{0} = CAST(CAST({0} AS integer) AS text) AND length({0}) < 14",
    TIME: "typeof({0}) = 'integer' AND {0} BETWEEN 1000000000000000 AND 9999999999999999",
}
PLAIN = " AND ".join(
    ("length(id) = 32", f"kind NOT IN {SKETCHED}", *(IS_PLAIN[field.holds].format(field.name) for field in FIELDS))
)
AS_INTEGER = {COUNT: "{0}", NUMBER: "CAST({0} AS integer)", TIME: "{0}"}
# LATEST takes the value at the end of the greatest text of time, id and value.
FOLDS = {SUM: "sum({0})", MIN: "min({0})", MAX: "max({0})", LATEST: "substr(max(last_at || id || {0}), 49)"}


def _folded(field: Field) -> str:
    value = field.name if field.rule == LATEST else AS_INTEGER[field.holds].format(field.name)
    return f"CASE own WHEN '' THEN {FOLDS[field.rule].format(value)} ELSE {field.name} END"


# A sketch is appended as a further word of Base64.
MERGES = {
    **{rule: f"app_metrics_{rule}(stored.{{0}}, excluded.{{0}})" for rule in (SUM, MIN, MAX)},
    LATEST: "CASE WHEN excluded.last_at >= stored.last_at THEN excluded.{0} ELSE stored.{0} END",
    UNION: "COALESCE(stored.{0} || ' ' || excluded.{0}, stored.{0}, excluded.{0})",
}
# Base64 has four characters for three bytes.
LONG_SKETCHES = columns(
    f"CASE WHEN length({name}) > {LONG * 4 // 3} THEN CAST({name} AS blob) END" for name in SKETCH_COLUMNS
)
# The sketches as bytes, because the driver reads no text that is not UTF-8, as a damaged one may be.
AS_BYTES = columns(f"CAST({name} AS blob)" for name in SKETCH_COLUMNS)

# One group per key of the plain items, and one for each other item. The day is cast to text, because Django's converter
# fails on a text that is not a date.
GROUPED = f"""
    SELECT slug, kind, labels, CAST(day AS text), hour, {", ".join(map(_folded, FIELDS))}, {{sketches}},
        min(last_at)
    FROM (SELECT *, CASE WHEN {{plain}} THEN '' ELSE id END AS own FROM {{table}} WHERE id <= %s)
    GROUP BY slug, kind, labels, day, hour, own ORDER BY max(last_at || id)"""


class Dialect(base.Dialect):
    transient = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"})
    queues = False
    few = 999 // len(ITEM_COLUMNS)  # every version allows 999 parameters

    def unsupported(self, connection: Any) -> str | None:
        if connection.Database.sqlite_version_info >= (3, 35):
            return None
        return f"SQLite {connection.Database.sqlite_version}"

    def error_code(self, error: Any) -> Any:
        return getattr(error, "sqlite_errorname", None)

    def many_inserted(self, rows: Sequence[Row], names: Sequence[str]) -> tuple[str, list[Any]]:
        # "WHERE true" keeps the parser from reading ON CONFLICT as part of a join.
        sql = f"""
            INSERT INTO {self.item_table} ({columns(names)})
            SELECT {_extracted(names)} FROM json_each(%s) WHERE true
            ON CONFLICT DO NOTHING"""
        return sql, [_json(rows)]

    def claim(self, connection: Any, size: int, bound: Any = None, *, apart: bool = False) -> Claim:
        with connection.cursor() as cursor:
            # This changes nothing, but takes the write lock before anything is read.
            cursor.execute(f"UPDATE {self.item_table} SET id = id WHERE false")
            cursor.execute(
                f"SELECT count(*), max(id) FROM (SELECT id FROM {self.item_table} ORDER BY id LIMIT %s)", [size]
            )
            taken, last = cursor.fetchone()
            if not taken:
                return Claim(0, [])
            rows = self._grouped(cursor, last, apart)
            cursor.execute(f"DELETE FROM {self.item_table} WHERE id <= %s", [last])
        return Claim(taken, rows)

    def _grouped(self, cursor: Any, last: str, apart: bool) -> list[Row]:
        """Read the items up to an id. Raises ValueError for a text that is not UTF-8; `apart` reads such sketches."""
        plain, sketches = ("false", AS_BYTES) if apart else (PLAIN, columns(SKETCH_COLUMNS))
        try:
            cursor.execute(GROUPED.format(table=self.item_table, plain=plain, sketches=sketches), [last])
            rows: list[Row] = cursor.fetchall()
        except OperationalError as error:
            if "decode to UTF-8" not in str(error):
                raise
            raise ValueError("A text of an item is not UTF-8.") from None  # the error quotes it
        return [tuple(map(_as_text, row)) for row in rows] if apart else rows

    def upsert(
        self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]], names: Sequence[str]
    ) -> Sequence[Row]:
        for summary in {id(summary): summary for _, summary in totals}.values():
            check_sums(summary)
        sql = f"""
            INSERT INTO {self.total_table} AS stored ({columns(names)})
            SELECT {_extracted(names)} FROM json_each(%s) WHERE true
            ON CONFLICT ({columns(TOTAL_KEY)}) DO UPDATE SET {base.assignments(MERGES, names)}
            {"" if names == PLAIN_TOTAL_COLUMNS else f"RETURNING id, {LONG_SKETCHES}"}"""
        with connection.cursor() as cursor, _functions(connection):
            cursor.execute(sql, [_json(base.total_rows(totals, names))])
            return [tuple(map(_as_text, row)) for row in cursor.fetchall() if any(row[1:])]

    def write_sketches(self, connection: Any, rows: Sequence[Row]) -> None:
        merged = ", ".join(
            f"{name} = COALESCE(json_extract(fresh.value, '$[{place}]'), stored.{name})"
            for place, name in enumerate(SKETCH_COLUMNS, 1)
        )
        sql = f"""
            UPDATE {self.total_table} AS stored SET {merged}
            FROM json_each(%s) AS fresh WHERE stored.id = json_extract(fresh.value, '$[0]')"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [_json(rows)])


def _sum(left: Any, right: Any) -> Any:
    """Add two counts, or two decimals, which are text. Raises OverflowError if the sum does not fit into a total."""
    is_count = type(left) is int
    total: Number = left + right if is_count else EXACT.add(Decimal(left), Decimal(right))
    limit = COUNT_LIMIT if is_count else TOTAL_LIMIT
    if not -limit < total < limit:
        raise OverflowError("The sum does not fit into a total.")
    return total if is_count else digits(total)


def _min(left: Any, right: Any) -> Any:
    return right if Decimal(right) < Decimal(left) else left


def _max(left: Any, right: Any) -> Any:
    return right if Decimal(right) > Decimal(left) else left


@contextmanager
def _functions(connection: Any) -> Iterator[None]:
    """Let a connection merge fields; raises the error of such a function, which SQLite reports without its cause."""
    errors = _errors_of(connection)
    errors.clear()
    try:
        yield
    except OperationalError as error:
        raise (errors or [error])[0] from error.__cause__


def _errors_of(connection: Any) -> list[BaseException]:
    """Return the list to which the functions of an open connection add their errors.

    They are created once for each connection of the driver: SQLite refuses to do so again while a reading is open.
    """
    raw = connection.connection
    known, errors = getattr(connection, "_app_metrics_functions", (None, []))
    if known is not raw:
        errors = []
        for rule, function in {SUM: _sum, MIN: _min, MAX: _max}.items():
            raw.create_function(f"app_metrics_{rule}", 2, _noting(function, errors))
        connection._app_metrics_functions = raw, errors
    return errors


def _noting(function: Callable[[Any, Any], Any], errors: list[BaseException]) -> Callable[[Any, Any], Any]:
    """Return a function that notes its error, also that of a signal handler that ran meanwhile."""

    def call(left: Any, right: Any) -> Any:
        try:
            return function(left, right)
        except BaseException as error:
            errors.append(error)
            raise

    return call


def _as_text(value: Any) -> Any:
    """Return bytes as text; those that are not UTF-8 as characters that no sketch has."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _extracted(names: Sequence[str]) -> str:
    return ", ".join(f"json_extract(json_each.value, '$[{index}]')" for index in range(len(names)))


def _json(rows: Iterable[Iterable[Any]]) -> str:
    return json.dumps([tuple(row) for row in rows], ensure_ascii=False, default=date.isoformat)
