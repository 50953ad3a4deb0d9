"""PostgreSQL: rows travel as parameters whose number, and so a statement's text, does not depend on how many there are.

Items travel as JSON, of which it takes less to read a row than it takes to read twelve arrays; the fewest, in the
statement itself.
"""

import json
from collections.abc import Sequence
from typing import Any

from ...core.summary import Summary
from . import base
from .base import ITEM_COLUMNS, KEY_COLUMNS, TOTAL_COLUMNS, TOTAL_KEY, Claim, Row, TotalKey, columns

TYPES = {
    "metric_id": "bigint", "period": "text", "start": "date", "hour": "smallint", "labels": "text", "count": "bigint",
    "total": "numeric", "minimum": "numeric", "maximum": "numeric", "last": "numeric", "last_at": "bigint",
}  # fmt: skip

# What merge() does, in SQL.
MERGE = """
    count = stored.count + excluded.count,
    total = stored.total + excluded.total,
    minimum = LEAST(stored.minimum, excluded.minimum),
    maximum = GREATEST(stored.maximum, excluded.maximum),
    last = CASE WHEN excluded.last_at >= stored.last_at THEN excluded.last ELSE stored.last END,
    last_at = GREATEST(stored.last_at, excluded.last_at)"""

# The `last` of what was recorded last, of what has the highest id where several were. As the greatest text, because an
# array ordered by both cannot be hashed: times of any year take 19 digits each, once they are moved, and ids 36.
MOMENT = f"({2 * 10**18} + GREATEST({-(10**18)}, LEAST({10**18}, last_at)))::text"
LATEST = f"""substr(max(({MOMENT} || id::text || last::text) COLLATE "C"), {19 + 36 + 1})"""


class Dialect(base.Dialect):
    transient = frozenset({"40001", "40P01", "55P03"})
    few = 3

    def error_code(self, error: Any) -> Any:
        return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)

    def many_inserted(self, rows: Sequence[Row]) -> tuple[str, list[Any]]:
        sql = f"""
            INSERT INTO {self.item_table} ({columns(ITEM_COLUMNS)})
            SELECT {columns(ITEM_COLUMNS)} FROM json_populate_recordset(NULL::{self.item_table}, %s)
            ON CONFLICT DO NOTHING"""
        objects = [dict(zip(ITEM_COLUMNS, row, strict=True)) for row in rows]
        return sql, [json.dumps(objects, ensure_ascii=False)]

    def claim(self, connection: Any, size: int, bound: Any = None) -> Claim:
        if bound is None:
            return self._claim(connection, size, "")
        claim = self._claim(connection, size, "WHERE id > %s::uuid", bound)
        if claim.size == size:
            return claim
        # What was committed late, or given back by whoever had taken it: only older ones, which are to come first.
        older = self._claim(connection, size - claim.size, "WHERE id <= %s::uuid", bound)
        return Claim(older.size + claim.size, [*older.rows, *claim.rows], claim.bound or bound)

    def _claim(self, connection: Any, size: int, where: str, *parameters: str) -> Claim:
        # What is locked is what is read and deleted, all in one statement and so in one snapshot: RETURNING would copy
        # the rows. By ctid from an array, which is gathered once and read as a TID scan. A join on the id reads the
        # whole table where its statistics are old, as they always are in a log: each chunk then costs as much as the
        # backlog. The day as text, because Python has no date for all that PostgreSQL has ("infinity"). From the last
        # id of the claim before, because the index keeps what was deleted until a VACUUM: a claim that begins at its
        # beginning reads, of a backlog of millions, all that the run has taken, and each takes longer than the last.
        taken = "ctid = ANY((SELECT ctids FROM chosen)::tid[])"
        sql = f"""
            WITH chosen AS MATERIALIZED (
                SELECT ARRAY(
                    SELECT ctid FROM {self.item_table} {where} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
                ) AS ctids
            ), gone AS (
                DELETE FROM {self.item_table} WHERE {taken}
            )
            SELECT count(*), slug, kind, labels, day::text, hour, sum(count), sum(total), min(minimum), max(maximum),
                   {LATEST}, max(last_at), min(last_at),
                   (SELECT id::text FROM {self.item_table}
                    WHERE ctid = (SELECT ctids[cardinality(ctids)] FROM chosen))
            FROM {self.item_table} WHERE {taken} GROUP BY {columns(KEY_COLUMNS)}"""
        with connection.cursor() as cursor:
            # It expects ten rows of an array of any length, and would sort them all by their keys.
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(sql, [*parameters, size])
            groups = cursor.fetchall()
        bound = groups[0][-1] if groups else None
        return Claim(sum(group[0] for group in groups), [group[1:-1] for group in groups], bound)

    def add_totals(self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]]) -> None:
        sql = f"""
            INSERT INTO {self.total_table} AS stored ({columns(TOTAL_COLUMNS)})
            SELECT * FROM {_unnested(TOTAL_COLUMNS)}
            ON CONFLICT ({columns(TOTAL_KEY)}) DO UPDATE SET {MERGE}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, _transposed([base.flat(key, summary) for key, summary in totals], TOTAL_COLUMNS))


def _unnested(names: Sequence[str]) -> str:
    return f"unnest({', '.join(f'%s::{TYPES[name]}[]' for name in names)})"


def _transposed(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return one array per column, as text: the driver takes as long to write one as the server to store it."""
    return [
        f"{{{','.join(map(_quoted if TYPES[name] == 'text' else str, column))}}}"
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    ]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
