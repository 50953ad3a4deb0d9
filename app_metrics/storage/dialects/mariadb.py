"""MariaDB: `DELETE … RETURNING` takes items, `ON DUPLICATE KEY UPDATE` adds totals."""

from collections.abc import Iterator, Sequence
from typing import Any

from ...core.summary import Summary
from . import base
from .base import (
    ITEM_COLUMNS,
    KEY_COLUMNS,
    SUMMARY_COLUMNS,
    TOTAL_COLUMNS,
    Claim,
    Row,
    TotalKey,
    columns,
)

# Rows of one statement of totals: it stays far below max_allowed_packet, which is 16 MiB by default.
TOTALS_PER_STATEMENT = 2_000

OBJECTS = {"day", "total", "minimum", "maximum", "last"}

# What merge() does, in SQL. Assignments take effect from left to right, so `last` is decided before `last_at`.
# The counts are added as decimals: where integers overflow in the adding, Django takes it for an IntegrityError.
MERGE = """
    count = CAST(count AS DECIMAL(20)) + VALUES(count),
    total = total + VALUES(total),
    minimum = LEAST(minimum, VALUES(minimum)),
    maximum = GREATEST(maximum, VALUES(maximum)),
    last = IF(VALUES(last_at) >= last_at, VALUES(last), last),
    last_at = GREATEST(last_at, VALUES(last_at))"""


class Dialect(base.Dialect):
    transient = frozenset({1020, 1205, 1213})

    def error_code(self, error: Any) -> Any:
        return error.args[0] if error is not None and error.args else None

    def insert_items(self, connection: Any, rows: Sequence[Row]) -> None:
        # Not INSERT IGNORE: that one turns every error into a warning.
        self._insert(connection, self.item_table, ITEM_COLUMNS, rows, "id = id")

    def claim(self, connection: Any, size: int, bound: Any = None) -> Claim:
        # Dates and decimals as text: the driver makes an object of each, where a chunk holds few different ones.
        taken = (f"CAST({name} AS CHAR)" if name in OBJECTS else name for name in (*KEY_COLUMNS, *SUMMARY_COLUMNS))
        sql = f"DELETE FROM {self.item_table} ORDER BY id LIMIT %s RETURNING {columns(taken)}"
        with connection.cursor() as cursor:
            cursor.execute(sql, [size])
            rows = cursor.fetchall()
        return Claim(len(rows), rows)

    def add_totals(self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]]) -> None:
        rows = [base.flat(key, summary) for key, summary in totals]
        for part in _parts(rows):
            self._insert(connection, self.total_table, TOTAL_COLUMNS, part, MERGE)

    def _insert(self, connection: Any, table: str, names: Sequence[str], rows: Sequence[Row], update: str) -> None:
        row = f"({', '.join(['%s'] * len(names))})"
        sql = f"""
            INSERT INTO {table} ({columns(names)}) VALUES {", ".join([row] * len(rows))}
            ON DUPLICATE KEY UPDATE {update}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [value for row in rows for value in row])


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for first in range(0, len(rows), TOTALS_PER_STATEMENT):
        yield rows[first : first + TOTALS_PER_STATEMENT]
