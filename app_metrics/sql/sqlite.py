"""SQLite: one writer at a time, so reading and writing in a transaction that began with a write is exact.

Rows travel as one JSON parameter, because SQLite limits the number of parameters of a statement.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from ..summary import COUNT_LIMIT, TOTAL_LIMIT, Summary, merge
from . import base
from .base import ITEM_COLUMNS, SUMMARY_COLUMNS, TOTAL_COLUMNS, TOTAL_KEY, Claim, Row, TotalKey, columns


class Dialect(base.Dialect):
    transient = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"})

    def error_code(self, error: Any) -> Any:
        return getattr(error, "sqlite_errorname", None)

    def insert_items(self, connection: Any, rows: Sequence[Row]) -> None:
        # "WHERE true" keeps the parser from reading ON CONFLICT as part of a join.
        sql = f"""
            INSERT INTO {self.item_table} ({columns(ITEM_COLUMNS)})
            SELECT {_extracted(ITEM_COLUMNS)} FROM json_each(%s) WHERE true
            ON CONFLICT DO NOTHING"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [_json((item_id.hex, *row) for item_id, *row in rows)])

    def claim(self, connection: Any, size: int) -> Claim:
        # The DELETE comes first: it takes the write lock before anything was read. The day as text, because
        # Django's converter fails on what is no date.
        sql = f"""
            DELETE FROM {self.item_table}
            WHERE id IN (SELECT id FROM {self.item_table} ORDER BY id LIMIT %s)
            RETURNING slug, kind, labels, CAST(day AS text), hour, {columns(SUMMARY_COLUMNS)}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [size])
            rows = cursor.fetchall()
        return Claim(len(rows), rows)

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
