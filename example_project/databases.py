"""The site's database, selected by environment variables, so that the same site runs on all of them."""

import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def database() -> dict[str, Any]:
    """Return the database that `EXAMPLE_DATABASE` names: sqlite, postgresql, mariadb or mysql.

    `EXAMPLE_DB_NAME` is the file of a SQLite database. The others also read `EXAMPLE_DB_HOST`
    (a host, or the path of a socket), `EXAMPLE_DB_PORT`, `EXAMPLE_DB_USER` and
    `EXAMPLE_DB_PASSWORD`.
    """
    kinds = {"sqlite": _sqlite, "postgresql": _postgresql, "mariadb": _mysql, "mysql": _mysql}
    kind = os.environ.get("EXAMPLE_DATABASE", "sqlite")
    if kind not in kinds:
        raise ValueError(f"EXAMPLE_DATABASE is {kind!r}; choose one of {', '.join(kinds)}.")
    # Each request is one transaction, so a request that fails halfway changes nothing.
    return {"ATOMIC_REQUESTS": True, **kinds[kind]()}


def _sqlite() -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DB_NAME") or str(HERE / "db.sqlite3"),
        "OPTIONS": {
            # Several processes write, so wait for the lock instead of failing. Take it when a transaction
            # begins, because a reader cannot wait for it when it turns into a writer.
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
        },
    }


def _postgresql() -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.postgresql", **_server()}


def _mysql() -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.mysql", "OPTIONS": {"charset": "utf8mb4"}, **_server()}


def _server() -> dict[str, str]:
    answers = {key: os.environ.get(f"EXAMPLE_DB_{key}", "") for key in ("HOST", "PORT", "USER", "PASSWORD", "NAME")}
    return {**answers, "NAME": answers["NAME"] or "harbour_books"}
