"""MariaDB: `DELETE … RETURNING` takes items, `ON DUPLICATE KEY UPDATE` adds totals."""

from collections.abc import Iterator, Sequence
from typing import Any

from ...core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ...core.summary import FIELDS, LATEST, MAX, MIN, NUMBER, SUM, Summary
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

# Totals per statement, which keeps it far below max_allowed_packet, 16 MiB by default.
TOTALS_PER_STATEMENT = 2_000

# Read as text, because the driver would create an object for each value, though a chunk has few distinct ones.
AS_TEXT = {"day", *(field.name for field in FIELDS if field.holds == NUMBER)}

MERGE = base.assignments({
    # Integers are added as decimals, too, because Django raises an integer overflow as an IntegrityError.
    SUM: f"CAST({{0}} AS DECIMAL({MAX_DIGITS}, {DECIMAL_PLACES})) + VALUES({{0}})",
    MIN: "LEAST({0}, VALUES({0}))",
    MAX: "GREATEST({0}, VALUES({0}))",
    LATEST: "IF(VALUES(last_at) >= last_at, VALUES({0}), {0})",
})  # fmt: skip


class Dialect(base.Dialect):
    transient = frozenset({1020, 1205, 1213})

    def error_code(self, error: Any) -> Any:
        return error.args[0] if error is not None and error.args else None

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
        self._insert(connection, self.item_table, ITEM_COLUMNS, rows, "id = id")

    def claim(self, connection: Any, size: int, bound: Any = None) -> Claim:
        taken = (f"CAST({name} AS CHAR)" if name in AS_TEXT else name for name in (*KEY_COLUMNS, *SUMMARY_COLUMNS))
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
