"""MariaDB, which differs from MySQL: `DELETE … RETURNING` takes items, and an upsert has no alias of the new row."""

from collections.abc import Sequence
from typing import Any

from . import mysql
from .base import PLAIN_TOTAL_COLUMNS, Claim, Row


class Dialect(mysql.Dialect):
    transient = mysql.Dialect.transient | {1020}
    oldest = (10, 6)
    alias = ""
    merges = mysql.merging("{0}", "VALUES({0})")
    others = ""
    select = f"SET STATEMENT group_concat_max_len = {mysql.LONGEST_TEXT} FOR SELECT"

    def _claim_each(self, cursor: Any, size: int) -> Claim:
        cursor.execute(f"DELETE FROM {self.item_table} ORDER BY id LIMIT %s RETURNING {mysql.CLAIMED}", [size])
        rows = cursor.fetchall()
        return Claim(len(rows), rows)

    def _upsert(self, connection: Any, names: Sequence[str], rows: Sequence[Row], merge: str) -> Sequence[Row]:
        if names == PLAIN_TOTAL_COLUMNS:
            self._insert(connection, self.total_table, names, rows, merge)
            return []
        returned = self._insert(
            connection, self.total_table, names, rows, f"{merge} RETURNING id, {mysql.LONG_SKETCHES}"
        )
        return [row for row in returned if any(row[1:])]
