"""PostgreSQL: rows travel as one array per column, so that a statement's text never depends on their number."""

from collections.abc import Sequence
from typing import Any

from ..summary import Summary
from . import base
from .base import ITEM_COLUMNS, KEY_COLUMNS, TOTAL_COLUMNS, TOTAL_KEY, Claim, Row, TotalKey, columns

TYPES = {
    "id": "uuid", "slug": "text", "kind": "text", "labels": "text", "day": "date", "hour": "smallint",
    "metric_id": "bigint", "period": "text", "start": "date", "count": "bigint", "total": "numeric",
    "minimum": "numeric", "maximum": "numeric", "last": "numeric", "last_at": "bigint",
}  # fmt: skip

# What merge() does, in SQL.
MERGE = """
    count = stored.count + excluded.count,
    total = stored.total + excluded.total,
    minimum = LEAST(stored.minimum, excluded.minimum),
    maximum = GREATEST(stored.maximum, excluded.maximum),
    last = CASE WHEN excluded.last_at >= stored.last_at THEN excluded.last ELSE stored.last END,
    last_at = GREATEST(stored.last_at, excluded.last_at)"""


class Dialect(base.Dialect):
    transient = frozenset({"40001", "40P01", "55P03"})

    def error_code(self, error: Any) -> Any:
        return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)

    def insert_items(self, connection: Any, rows: Sequence[Row]) -> None:
        sql = f"""
            INSERT INTO {self.item_table} ({columns(ITEM_COLUMNS)})
            SELECT * FROM {_unnested(ITEM_COLUMNS)}
            ON CONFLICT DO NOTHING"""
        with connection.cursor() as cursor:
            cursor.execute(sql, _transposed(rows))

    def claim(self, connection: Any, size: int) -> Claim:
        # By ctid from an ARRAY, which is gathered once and read as a TID scan. A join on the id reads the whole table
        # where its statistics are old, as they always are in a log: each chunk then costs as much as the backlog.
        # The day as text, because Python has no date for all that PostgreSQL has ("infinity").
        sql = f"""
            WITH taken AS (
                DELETE FROM {self.item_table} WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM {self.item_table} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
                ))
                RETURNING {columns(ITEM_COLUMNS)}
            )
            SELECT count(*), slug, kind, labels, day::text, hour, sum(count), sum(total), min(minimum), max(maximum),
                   (array_agg(last ORDER BY last_at DESC, id DESC))[1], max(last_at)
            FROM taken GROUP BY {columns(KEY_COLUMNS)}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [size])
            groups = cursor.fetchall()
        return Claim(sum(group[0] for group in groups), [group[1:] for group in groups])

    def add_totals(self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]]) -> None:
        sql = f"""
            INSERT INTO {self.total_table} AS stored ({columns(TOTAL_COLUMNS)})
            SELECT * FROM {_unnested(TOTAL_COLUMNS)}
            ON CONFLICT ({columns(TOTAL_KEY)}) DO UPDATE SET {MERGE}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, _transposed([base.flat(key, summary) for key, summary in totals]))


def _unnested(names: Sequence[str]) -> str:
    return f"unnest({', '.join(f'%s::{TYPES[name]}[]' for name in names)})"


def _transposed(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
