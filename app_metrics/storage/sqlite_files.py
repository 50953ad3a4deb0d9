"""What a connection to a SQLite file has opened, or would open: which file, and how durable its commits are."""

import os
from contextlib import closing, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from django.db import DatabaseError

# SQLite's level of `synchronous` at which a commit survives a power failure; it is the default.
FULL = 2
# By the path of a database, the level of a new connection.
_levels: dict[str, int] = {}


def path_of(connection: Any) -> str:
    """Return the path of the file that a connection has opened, or would open now; "" if there is none."""
    if connection.connection is not None:
        with suppress(connection.Database.Error):  # the path is not UTF-8
            return str(connection.connection.execute("PRAGMA database_list").fetchone()[2])
    name = os.fsdecode(connection.settings_dict["NAME"])
    return unquote(urlsplit(name).path, errors="surrogateescape") if name.startswith("file:") else name


def identity(path: str) -> tuple[str, int, int] | None:
    """Return what tells a file from others that were or will be at its path; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return path, status.st_dev, status.st_ino


def level_of(connection: Any) -> int:
    """Return the level of `synchronous` of a connection, or what it will be once that is open."""
    if connection.connection is None:
        return _level_once_open(connection)
    level: int = connection.connection.execute("PRAGMA synchronous").fetchone()[0]
    return level


def _level_once_open(connection: Any) -> int:
    """Return the level of a new connection, which the settings decide, so it is asked once for each file.

    To open a connection for each request that makes no query would take longer than to append its batch.
    """
    path = path_of(connection)
    if path not in _levels and os.path.exists(path):  # opening a file creates it
        new = connection.copy()
        with suppress(DatabaseError), closing(new):
            new.ensure_connection()
            _levels[path] = level_of(new)
    return _levels.get(path, FULL)
