"""MySQL, which has no RETURNING: items are locked and read, then deleted by their first and last id, or by all ids."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from random import random
from typing import Any

from django.db import OperationalError, transaction

from ...core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ...core.summary import FIELDS, LATEST, MAX, MEASURED, MIN, NUMBER, SUM, UNION, Summary
from . import base
from .base import (
    KEY_COLUMNS,
    LONG,
    PLAIN_TOTAL_COLUMNS,
    SKETCH_COLUMNS,
    SUMMARY_COLUMNS,
    TOTAL_KEY,
    Claim,
    Row,
    TotalKey,
    columns,
)

# The error of NOWAIT.
LOCKED = 3572
TOTALS_PER_STATEMENT = 2_000

# How often the length of a sketch is looked at while LONG bytes are appended to it.
LOOKS = 4

# Read as text, because the driver would create an object for each value, though a chunk has few distinct ones.
TEXT = {name: f"CAST({name} AS CHAR)" for name in ("day", *(field.name for field in FIELDS if field.holds == NUMBER))}
PLAIN = [TEXT.get(name, name) for name in (*KEY_COLUMNS, *SUMMARY_COLUMNS)]
SKETCHES = columns(f"TO_BASE64({name})" for name in SKETCH_COLUMNS)
CLAIMED = f"{columns(PLAIN)}, {SKETCHES}"

# LATEST takes the word after time and id, of which the greatest text is the latest item's: any time has 19 digits here.
MOMENT = f"CONCAT({2 * 10**18} + GREATEST({-(10**18)}, LEAST({10**18}, last_at)), ' ', id)"
FOLDS = {SUM: "SUM({0})", MIN: "MIN({0})", MAX: "MAX({0})", LATEST: f"MAX(CONCAT({MOMENT}, ' ', {{0}}))"}
FOLDED = columns(FOLDS[field.rule].format(field.name) for field in FIELDS)
NEWEST = len(KEY_COLUMNS) + [field.rule for field in FIELDS].index(LATEST)
# Each number ends with a space, so that those which were cut off are noticed.
SINGLES = f"GROUP_CONCAT(CASE WHEN kind IN {MEASURED} THEN CONCAT(total, ' ') END SEPARATOR '')"
# Bytes of these numbers: those of the largest chunk.
LONGEST_TEXT = 8 * 2**20
# Python folds items with a sketch one by one, and several numbers of a timer from before there were histograms.
APART = f"(histogram IS NOT NULL OR uniques IS NOT NULL OR (kind IN {MEASURED} AND count <> 1))"
LONG_SKETCHES = columns(f"IF(LENGTH({name}) > {LONG}, TO_BASE64({name}), NULL)" for name in SKETCH_COLUMNS)


def merging(stored: str, new: str) -> dict[str, str]:
    """Return the expressions that merge a new total into the stored one; `{0}` in both is the column."""
    return {
        # Integers are added as decimals, too, because Django raises an integer overflow as an IntegrityError.
        SUM: f"CAST({stored} AS DECIMAL({MAX_DIGITS}, {DECIMAL_PLACES})) + {new}",
        MIN: f"LEAST({stored}, {new})",
        MAX: f"GREATEST({stored}, {new})",
        LATEST: f"IF({new.format('last_at')} >= {stored.format('last_at')}, {new}, {stored})",
        UNION: f"COALESCE(CONCAT({stored}, {new}), {stored}, {new})",
    }  # fmt: skip


class _Mixed(Exception):
    """Between the oldest items are some that another transaction has locked, or has just written."""


class Dialect(base.Dialect):
    transient = frozenset({1205, 1213})
    oldest = (8, 4)
    # The alias of the new row in an upsert, and the expressions that merge it.
    alias = "AS fresh"
    merges = merging(f"{base.Dialect.total_table}.{{0}}", "fresh.{0}")
    sketch = "FROM_BASE64({0})"
    # Skipping what others have locked, or failing at it.
    others = "NOWAIT"
    # SELECT with room for long texts of GROUP_CONCAT.
    select = f"SELECT /*+ SET_VAR(group_concat_max_len = {LONGEST_TEXT}) */"

    def error_code(self, error: Any) -> Any:
        return error.args[0] if error is not None and error.args else None

    def unsupported(self, connection: Any) -> str | None:
        if connection.mysql_version >= self.oldest:
            return None
        return f"{connection.display_name} {'.'.join(map(str, connection.mysql_version))}"

    def isolation_level(self, connection: Any) -> str | None:
        with connection.cursor() as cursor:
            # The second name is that of MariaDB before 11.1.
            cursor.execute("SHOW VARIABLES WHERE variable_name IN ('transaction_isolation', 'tx_isolation')")
            level: str = cursor.fetchone()[1]
        return level

    def narrow_encoding(self, connection: Any) -> str | None:
        with connection.cursor() as cursor:
            # Columns of the type char hold ids.
            cursor.execute(
                "SELECT min(character_set_name) FROM information_schema.columns WHERE table_schema = DATABASE() "
                "AND table_name LIKE 'app\\_metrics\\_%' AND data_type <> 'char' AND character_set_name <> 'utf8mb4'"
            )
            encoding: str | None = cursor.fetchone()[0]
        return encoding

    def insert_items(self, connection: Any, rows: Sequence[Row]) -> None:
        # Not INSERT IGNORE, which turns every error into a warning.
        rows, names = base.without_sketches(rows)
        self._insert(connection, self.item_table, names, rows, "ON DUPLICATE KEY UPDATE id = id")

    def claim(self, connection: Any, size: int, bound: Any = None, *, apart: bool = False) -> Claim:
        with connection.cursor() as cursor:
            if not apart:
                with suppress(_Mixed), transaction.atomic(using=connection.alias):
                    return self._claim_range(cursor, size, bound)
            return self._claim_each(cursor, size)

    def _claim_range(self, cursor: Any, size: int, bound: Any) -> Claim:
        """Claim the oldest items with one range of ids, which is fast; raise _Mixed if others are among them."""
        taken, *ends = self._ends(cursor, size, bound)
        if not taken:
            return Claim(0, [])
        rows = self._folded(cursor, ends)
        if (found := sum(row[0] for row in rows)) < taken:
            members = self._apart(cursor, ends)
            found += len(members)
            rows = [*rows, *members]
        cursor.execute(f"DELETE FROM {self.item_table} WHERE id BETWEEN %s AND %s", ends)
        if not found == cursor.rowcount == taken:  # others have taken some, or have written some meanwhile
            raise _Mixed
        return Claim(taken, _in_order([row[1:] for row in rows]), ends[1])

    def _ends(self, cursor: Any, size: int, bound: Any) -> Row:
        """Return the number of the oldest items, up to `size`, and their first and last id.

        The index keeps deleted items until they are purged, and from its beginning, each claim of a run would read all
        that the run has deleted. So it is read after the bound, unless these items do not fill the claim.
        """
        oldest = f"SELECT id FROM {self.item_table} {'WHERE id > %s' if bound else ''} ORDER BY id LIMIT %s"
        cursor.execute(
            f"SELECT COUNT(*), MIN(id), MAX(id) FROM ({oldest}) AS oldest", [bound, size] if bound else [size]
        )
        found: Row = cursor.fetchone()
        return found if found[0] == size or not bound else self._ends(cursor, size, None)

    def _folded(self, cursor: Any, ends: Sequence[Any]) -> Sequence[Row]:
        """Lock a range of items and fold them by key, without those apart; a row begins with their number.

        Raises _Mixed if others have locked some, or if numbers do not fit into a text.
        """
        sql = f"""
            {self.select} COUNT(*), slug, kind, labels, CAST(day AS CHAR), hour, {FOLDED},
                {columns("NULL" for _ in SKETCH_COLUMNS)}, MIN(last_at), {SINGLES}
            FROM {self.item_table} WHERE id BETWEEN %s AND %s AND NOT {APART}
            GROUP BY {columns(KEY_COLUMNS)} ORDER BY NULL FOR UPDATE {self.others}"""
        rows = self._locked(cursor, sql, ends)
        if any(row[-1] is not None and row[-1].count(" ") != row[0] for row in rows):
            raise _Mixed
        return rows

    def _apart(self, cursor: Any, ends: Sequence[Any]) -> Sequence[Row]:
        """Lock the items of a range that are folded one by one; return rows like those of `_folded`."""
        newest = f"CONCAT({MOMENT}, ' ', {PLAIN[NEWEST]})"
        plain = columns([*PLAIN[:NEWEST], newest, *PLAIN[NEWEST + 1 :]])
        sql = f"""
            SELECT 1, {plain}, {SKETCHES}, last_at, NULL FROM {self.item_table}
            WHERE id BETWEEN %s AND %s AND {APART} FOR UPDATE {self.others}"""
        return self._locked(cursor, sql, ends)

    def _locked(self, cursor: Any, sql: str, ends: Sequence[Any]) -> Sequence[Row]:
        try:
            cursor.execute(sql, ends)
        except OperationalError as error:
            if self.error_code(error.__cause__) != LOCKED:
                raise
            raise _Mixed from error
        rows: Sequence[Row] = cursor.fetchall()
        return rows

    def _claim_each(self, cursor: Any, size: int) -> Claim:
        """Claim the oldest items that nobody has locked."""
        cursor.execute(
            f"SELECT {CLAIMED}, id FROM {self.item_table} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED", [size]
        )
        rows = cursor.fetchall()
        if rows:
            # With IN, many ids exceed range_optimizer_max_mem_size, and MySQL scans, and so locks, the whole table.
            cursor.execute(
                f"""DELETE item
                FROM JSON_TABLE(%s, '$[*]' COLUMNS (
                    id char(32) CHARACTER SET ascii COLLATE ascii_bin PATH '$'
                )) AS claimed STRAIGHT_JOIN {self.item_table} AS item USING (id)""",
                [json.dumps([row[-1] for row in rows])],
            )
        return Claim(len(rows), [row[:-1] for row in rows])

    def upsert(
        self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]], names: Sequence[str]
    ) -> Sequence[Row]:
        rows = base.total_rows(totals, names)
        merge = f"{self.alias} ON DUPLICATE KEY UPDATE {base.assignments(self.merges, names)}"
        long: list[Row] = []
        for part in base.in_statements(rows, TOTALS_PER_STATEMENT, names):
            long += self._upsert(connection, names, part, merge)
        return long

    def _upsert(self, connection: Any, names: Sequence[str], rows: Sequence[Row], merge: str) -> Sequence[Row]:
        """Write rows of totals; return those with a long sketch, as `upsert` does, but not all of them."""
        self._insert(connection, self.total_table, names, rows, merge)
        keys = [row[: len(TOTAL_KEY)] for row in rows if _may_be_long(row[len(PLAIN_TOTAL_COLUMNS) :])]
        if not keys:
            return []
        one = f"({', '.join(['%s'] * len(TOTAL_KEY))})"
        is_long = " OR ".join(f"LENGTH({name}) > {LONG}" for name in SKETCH_COLUMNS)
        with connection.cursor() as cursor:
            cursor.execute(
                f"""SELECT id, {LONG_SKETCHES} FROM {self.total_table}
                WHERE ({columns(TOTAL_KEY)}) IN ({", ".join([one] * len(keys))}) AND ({is_long})""",
                [value for key in keys for value in key],
            )
            found: Sequence[Row] = cursor.fetchall()
        return found

    def write_sketches(self, connection: Any, rows: Sequence[Row]) -> None:
        places = ", ".join(f"{name} longtext PATH '$[{place}]'" for place, name in enumerate(SKETCH_COLUMNS, 1))
        merged = ", ".join(
            f"kept.{name} = COALESCE({self.sketch.format(f'fresh.{name}')}, kept.{name})" for name in SKETCH_COLUMNS
        )
        sql = f"""
            UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (id bigint PATH '$[0]', {places})) AS fresh
            STRAIGHT_JOIN {self.total_table} AS kept ON kept.id = fresh.id SET {merged}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [json.dumps(rows)])

    def _insert(self, connection: Any, table: str, names: Sequence[str], rows: Sequence[Row], conflict: str) -> Any:
        sql = f"{self.insert_of(len(rows), table, names)} {conflict}"
        with connection.cursor() as cursor:
            cursor.execute(sql, list(chain.from_iterable(rows)))
            return cursor.fetchall()


def _may_be_long(sketches: Sequence[str | None]) -> bool:
    """Return whether to look at the length of a total's sketches, after these were appended; a matter of chance.

    An upsert cannot return the length, and finding a total again takes nearly as long as writing it. The more bytes
    are appended, the likelier it is to be looked at: on average it is after a fraction of LONG.
    """
    return random() * LONG < LOOKS * sum(len(text) for text in sketches if text)  # noqa: S311 - not secret


def _in_order(rows: Sequence[Row]) -> list[Row]:
    """Return folded rows in the order of their latest items, with only the value of these as the last one."""
    rows = sorted(rows, key=itemgetter(NEWEST))
    return [(*row[:NEWEST], row[NEWEST].rpartition(" ")[2], *row[NEWEST + 1 :]) for row in rows]
