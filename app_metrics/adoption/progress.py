"""How far an adoption has come: a table that exists until it is finished.

MariaDB and MySQL commit after each statement that changes a table, so a killed run leaves a part of its work.
"""

import json
from typing import Any

from .old_tables import PROGRESS, tables_of


class Progress:
    """Values by name, stored in the database; those of a run that was killed are there already."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        if PROGRESS not in tables_of(connection):
            self._execute(f"CREATE TABLE {PROGRESS} (name varchar(50) NOT NULL PRIMARY KEY, value text NOT NULL)")

    def get(self, name: str, default: Any = None) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT value FROM {PROGRESS} WHERE name = %s", [name])  # noqa: S608
            row = cursor.fetchone()
        return json.loads(row[0]) if row else default

    def set(self, name: str, value: Any) -> None:
        text = json.dumps(value)
        if self.get(name) is None:
            self._execute(f"INSERT INTO {PROGRESS} (value, name) VALUES (%s, %s)", text, name)  # noqa: S608
        else:
            self._execute(f"UPDATE {PROGRESS} SET value = %s WHERE name = %s", text, name)  # noqa: S608

    def end(self) -> None:
        self._execute(f"DROP TABLE {PROGRESS}")

    def _execute(self, sql: str, *parameters: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
