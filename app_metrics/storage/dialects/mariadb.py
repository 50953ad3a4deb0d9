"""MariaDB, which differs from MySQL: `DELETE … RETURNING` takes items, and an upsert has no alias of the new row."""

from typing import Any

from . import mysql
from .base import Claim


class Dialect(mysql.Dialect):
    transient = mysql.Dialect.transient | {1020}
    oldest = (10, 6)
    alias = ""
    merge = mysql.merging("{0}", "VALUES({0})")

    def claim(self, connection: Any, size: int, bound: Any = None) -> Claim:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {self.item_table} ORDER BY id LIMIT %s RETURNING {mysql.CLAIMED}", [size])
            rows = cursor.fetchall()
        return Claim(len(rows), rows)
