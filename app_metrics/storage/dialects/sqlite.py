"""SQLite: one writer at a time, so reading and writing in a transaction that began with a write is exact.

Rows travel as one JSON parameter, because SQLite limits the number of parameters of a statement; items, where they are
few, as parameters, which it takes little more than half the time to read.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from ...core.numbers import COUNT_LIMIT, TOTAL_LIMIT
from ...core.summary import Summary, merge
from . import base
from .base import (
    ITEM_COLUMNS,
    SUMMARY_COLUMNS,
    TOTAL_COLUMNS,
    TOTAL_KEY,
    Claim,
    Row,
    TotalKey,
    columns,
)

NUMBERS = ("total", "minimum", "maximum", "last")
# What SQLite folds exactly itself: whole numbers, of which 64 bits hold the sum of the largest chunk, and times of 16
# digits, from 2001 to 2286. Everything else is folded in Python.
PLAIN = " AND ".join((
    "typeof(count) = 'integer' AND count BETWEEN 1 AND 100000000000000",
    "typeof(last_at) = 'integer' AND last_at BETWEEN 1000000000000000 AND 9999999999999999",
    "length(id) = 32",
    *(f"{name} = CAST(CAST({name} AS integer) AS text)" for name in NUMBERS),
    *(f"length({name}) < 15" for name in NUMBERS),
))  # fmt: skip
# One group per key of what is plain, and one of its own for each other item. The day as text, because Django's
# converter fails on what is no date. `last` is what the greatest text ends with, after a time and an id.
GROUPED = f"""
    SELECT slug, kind, labels, CAST(day AS text), hour,
        CASE own WHEN '' THEN sum(count) ELSE count END,
        CASE own WHEN '' THEN sum(CAST(total AS integer)) ELSE total END,
        CASE own WHEN '' THEN min(CAST(minimum AS integer)) ELSE minimum END,
        CASE own WHEN '' THEN max(CAST(maximum AS integer)) ELSE maximum END,
        CASE own WHEN '' THEN substr(max(last_at || id || last), 49) ELSE last END,
        max(last_at), min(last_at)
    FROM (SELECT *, CASE WHEN {PLAIN} THEN '' ELSE id END AS own FROM {{table}} WHERE id <= %s)
    GROUP BY slug, kind, labels, day, hour, own ORDER BY max(last_at || id)"""


class Dialect(base.Dialect):
    transient = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"})
    queues = False
    few = 999 // len(ITEM_COLUMNS)  # so many parameters every version takes

    def error_code(self, error: Any) -> Any:
        return getattr(error, "sqlite_errorname", None)

    def many_inserted(self, rows: Sequence[Row]) -> tuple[str, list[Any]]:
        # "WHERE true" keeps the parser from reading ON CONFLICT as part of a join.
        sql = f"""
            INSERT INTO {self.item_table} ({columns(ITEM_COLUMNS)})
            SELECT {_extracted(ITEM_COLUMNS)} FROM json_each(%s) WHERE true
            ON CONFLICT DO NOTHING"""
        return sql, [_json(rows)]

    def claim(self, connection: Any, size: int, bound: Any = None) -> Claim:
        with connection.cursor() as cursor:
            # It changes nothing, but takes the write lock before anything is read.
            cursor.execute(f"UPDATE {self.item_table} SET id = id WHERE false")
            cursor.execute(
                f"SELECT count(*), max(id) FROM (SELECT id FROM {self.item_table} ORDER BY id LIMIT %s)", [size]
            )
            taken, last = cursor.fetchone()
            if not taken:
                return Claim(0, [])
            cursor.execute(GROUPED.format(table=self.item_table), [last])
            rows = cursor.fetchall()
            cursor.execute(f"DELETE FROM {self.item_table} WHERE id <= %s", [last])
        return Claim(taken, rows)

    def add_totals(self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]]) -> None:
        stored = self._stored(connection, [key for key, _ in totals])
        merged = ((key, merge(stored[key], new) if key in stored else new) for key, new in totals)
        rows = (base.flat(key, _fitting(summary)) for key, summary in merged)
        assignments = ", ".join(f"{name} = excluded.{name}" for name in SUMMARY_COLUMNS)
        sql = f"""
            INSERT INTO {self.total_table} ({columns(TOTAL_COLUMNS)})
            SELECT {_extracted(TOTAL_COLUMNS)} FROM json_each(%s) WHERE true
            ON CONFLICT ({columns(TOTAL_KEY)}) DO UPDATE SET {assignments}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [_json(rows)])

    def _stored(self, connection: Any, keys: Iterable[TotalKey]) -> dict[TotalKey, Summary]:
        # SQLite has no exact decimals to add with, so they are read, merged here and written back.
        sql = f"""
            SELECT {columns(TOTAL_COLUMNS, prefix="stored.")}
            FROM json_each(%s) JOIN {self.total_table} AS stored
              ON ({columns(TOTAL_KEY, prefix="stored.")}) = ({_extracted(TOTAL_KEY)})"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [_json(keys)])
            return dict(map(_stored_total, cursor.fetchall()))


def _extracted(names: Sequence[str]) -> str:
    return ", ".join(f"json_extract(json_each.value, '$[{index}]')" for index in range(len(names)))


def _json(rows: Iterable[Iterable[Any]]) -> str:
    return json.dumps([tuple(row) for row in rows], ensure_ascii=False, default=date.isoformat)


def _fitting(summary: Summary) -> Summary:
    """Raise OverflowError for what the columns of other databases would refuse; SQLite's take anything."""
    if summary.count >= COUNT_LIMIT or not -TOTAL_LIMIT < summary.total < TOTAL_LIMIT:
        raise OverflowError("the sum does not fit into a total")
    return summary


def _stored_total(row: Row) -> tuple[TotalKey, Summary]:
    metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at = row
    start = start if isinstance(start, date) else date.fromisoformat(start)
    numbers = Decimal(total), Decimal(minimum), Decimal(maximum), Decimal(last)
    return TotalKey(metric_id, period, start, hour, labels), Summary(count, *numbers, last_at)
