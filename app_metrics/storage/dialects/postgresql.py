"""PostgreSQL: statements whose text and number of parameters do not depend on the number of rows.

Items are sent as JSON, which the server reads faster than an array for each column. Up to three items are sent as
parameters instead.
"""

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from ...core.summary import COUNT, FIELDS, LATEST, MAX, MEASURED, MIN, NUMBER, SUM, TIME, UNION, Summary
from . import base
from .base import KEY_COLUMNS, LONG, SKETCH_COLUMNS, TOTAL_KEY, Claim, Row, TotalKey, columns

SUMMARY_TYPES = {COUNT: "bigint", NUMBER: "numeric", TIME: "bigint"}
TYPES = {
    "metric_id": "bigint", "period": "text", "start": "date", "hour": "smallint", "labels": "text",
    **{field.name: SUMMARY_TYPES[field.holds] for field in FIELDS},
    "id": "bigint", **dict.fromkeys(SKETCH_COLUMNS, "text"),
}  # fmt: skip

MERGES = {
    SUM: "stored.{0} + excluded.{0}",
    MIN: "LEAST(stored.{0}, excluded.{0})",
    MAX: "GREATEST(stored.{0}, excluded.{0})",
    LATEST: "CASE WHEN excluded.last_at >= stored.last_at THEN excluded.{0} ELSE stored.{0} END",
    UNION: "COALESCE(stored.{0} || excluded.{0}, stored.{0}, excluded.{0})",
}  # fmt: skip

# LATEST needs the value of the item with the latest time; of several such items, the one with the highest id. It is the
# end of the greatest text of time, id and value, because PostgreSQL cannot hash an aggregate that orders an array.
# After the addition, any time has 19 digits; an id has 36.
MOMENT = f"({2 * 10**18} + GREATEST({-(10**18)}, LEAST({10**18}, last_at)))::text"
FOLDS = {
    SUM: "sum({0})",
    MIN: "min({0})",
    MAX: "max({0})",
    LATEST: f"""substr(max(({MOMENT} || id::text || {{0}}::text) COLLATE "C"), {19 + 36 + 1})""",
}
FOLDED = ", ".join(FOLDS[field.rule].format(field.name) for field in FIELDS)
# Python merges sketches.
SKETCHES = ", ".join(f"string_agg(encode({name}, 'base64'), ' ')" for name in SKETCH_COLUMNS)
SINGLE = f"string_agg(total::text, ' ') FILTER (WHERE count = 1 AND histogram IS NULL AND kind IN {MEASURED})"


class Dialect(base.Dialect):
    transient = frozenset({"40001", "40P01", "55P03"})
    few = 3
    sketch = "decode({0}, 'base64')"

    def error_code(self, error: Any) -> Any:
        return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)

    def narrow_encoding(self, connection: Any) -> str | None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_encoding")
            encoding: str = cursor.fetchone()[0]
        return None if encoding == "UTF8" else encoding

    def many_inserted(self, rows: Sequence[Row], names: Sequence[str]) -> tuple[str, list[Any]]:
        sql = f"""
            INSERT INTO {self.item_table} ({columns(names)})
            SELECT {columns(names)} FROM json_populate_recordset(NULL::{self.item_table}, %s)
            ON CONFLICT DO NOTHING"""
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        for each in objects:
            for name in each.keys() & set(SKETCH_COLUMNS):
                each[name] = each[name] and rf"\x{b64decode(each[name]).hex()}"  # as PostgreSQL writes bytes
        return sql, [json.dumps(objects, ensure_ascii=False)]

    def claim(self, connection: Any, size: int, bound: Any = None, *, apart: bool = False) -> Claim:
        by = columns(KEY_COLUMNS) + (", id ORDER BY id" if apart else "")
        if bound is None:
            return self._claim(connection, size, by, "")
        claim = self._claim(connection, size, by, "WHERE id > %s::uuid", bound)
        if claim.size == size:
            return claim
        # Older items were committed late, or returned to the log by a rollback; they come first.
        older = self._claim(connection, size - claim.size, by, "WHERE id <= %s::uuid", bound)
        return Claim(older.size + claim.size, [*older.rows, *claim.rows], claim.bound or bound)

    def _claim(self, connection: Any, size: int, by: str, where: str, *parameters: str) -> Claim:
        # One statement locks, reads and deletes the same rows in one snapshot; RETURNING would copy them. The ctids are
        # collected once and read with a TID scan. A join on the id would scan the whole backlog for every chunk if
        # statistics are outdated, as they always are for a log. The day is cast to text, because PostgreSQL has dates
        # that Python lacks ("infinity"). A claim begins after the last id of the previous one, because the index keeps
        # deleted entries until a VACUUM: from the beginning of the log, each claim of a run would read all entries that
        # the run has deleted.
        taken = "ctid = ANY((SELECT ctids FROM chosen)::tid[])"
        sql = f"""
            WITH chosen AS MATERIALIZED (
                SELECT ARRAY(
                    SELECT ctid FROM {self.item_table} {where} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
                ) AS ctids
            ), gone AS (
                DELETE FROM {self.item_table} WHERE {taken}
            )
            SELECT count(*), slug, kind, labels, day::text, hour, {FOLDED}, {SKETCHES}, min(last_at), {SINGLE},
                   (SELECT id::text FROM {self.item_table}
                    WHERE ctid = (SELECT ctids[cardinality(ctids)] FROM chosen))
            FROM {self.item_table} WHERE {taken} GROUP BY {by}"""
        with connection.cursor() as cursor:
            # The planner assumes ten rows for an array of any length, and would sort them by key instead of hashing.
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(sql, [*parameters, size])
            groups = cursor.fetchall()
        bound = groups[0][-1] if groups else None
        return Claim(sum(group[0] for group in groups), [group[1:-1] for group in groups], bound)

    def upsert(
        self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]], names: Sequence[str]
    ) -> Sequence[Row]:
        sql = f"""
            INSERT INTO {self.total_table} AS stored ({columns(names)})
            SELECT {columns(map(self._decoded, names))} FROM {_unnested(names)} AS fresh ({columns(names)})
            ON CONFLICT ({columns(TOTAL_KEY)}) DO UPDATE SET {base.assignments(MERGES, names)}"""
        sketches = [name for name in names if name in SKETCH_COLUMNS]
        if sketches:
            long = columns(f"CASE WHEN length({name}) > {LONG} THEN {name} END AS {name}" for name in sketches)
            sql = f"""
                WITH written AS ({sql} RETURNING id, {long})
                SELECT id, {columns(f"encode({name}, 'base64')" for name in sketches)}
                FROM written WHERE COALESCE({columns(sketches)}) IS NOT NULL"""
        with connection.cursor() as cursor:
            cursor.execute(sql, _transposed(base.total_rows(totals, names), names))
            return cursor.fetchall() if sketches else []

    def write_sketches(self, connection: Any, rows: Sequence[Row]) -> None:
        names = ("id", *SKETCH_COLUMNS)
        merged = ", ".join(
            f"{name} = COALESCE({self.sketch.format(f'fresh.{name}')}, stored.{name})" for name in SKETCH_COLUMNS
        )
        sql = f"""
            UPDATE {self.total_table} AS stored SET {merged}
            FROM {_unnested(names)} AS fresh ({columns(names)}) WHERE stored.id = fresh.id"""
        with connection.cursor() as cursor:
            cursor.execute(sql, _transposed(rows, names))

    def _decoded(self, name: str) -> str:
        return self.sketch.format(name) if name in SKETCH_COLUMNS else name


def _unnested(names: Sequence[str]) -> str:
    return f"unnest({', '.join(f'%s::{TYPES[name]}[]' for name in names)})"


def _transposed(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return one array per column, as text, because the driver is slow at encoding arrays."""
    return [
        f"{{{','.join(map(_element if TYPES[name] == 'text' else str, column))}}}"
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    ]


def _element(text: str | None) -> str:
    return "NULL" if text is None else '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
