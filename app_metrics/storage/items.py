"""Append rows to the item log; those that the database cannot store become quarantined items."""

import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from django.db import connections, transaction

from ..conf import settings
from ..core.dropped import warn_once
from ..core.plain_text import brief
from ..models import Item, QuarantinedItem
from .dialects import dialect_for
from .dialects.base import BAD_DATA, ITEM_COLUMNS, Row, in_statements

ITEMS_PER_STATEMENT = 10_000
# Rows whose texts fit into a statement whatever they are, because a sketch has up to 11,000 characters.
FEW = 50
# A sketch has up to 11,000 characters, and a statement of MariaDB 16 MiB by default.
QUARANTINED_AT_ONCE = 500


def unknown_columns() -> list[str]:
    """Return the columns of the item log that this version does not know, because a newer one has migrated."""
    with connections[settings.APP_METRICS_DATABASE].cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Item._meta.db_table} WHERE 1 = 0")  # noqa: S608 - a constant
        names = {column[0] for column in cursor.description}
    return sorted(names - {field.column for field in Item._meta.fields})


def append(rows: Sequence[Row]) -> None:
    """Append rows of ITEM_COLUMNS, in a transaction if they take several statements. Raises database errors."""
    connection = connections[settings.APP_METRICS_DATABASE]
    if 0 < len(rows) <= FEW:
        dialect_for(connection).insert_items(connection, rows)
        return
    parts = list(in_statements(rows, ITEMS_PER_STATEMENT, ITEM_COLUMNS))
    with transaction.atomic(using=connection.alias) if len(parts) > 1 else nullcontext():
        for part in parts:
            dialect_for(connection).insert_items(connection, part)


def append_apart(rows: Sequence[Row]) -> None:
    """Append rows, and quarantine those that the database cannot store, such as an emoji in a LATIN1 database.

    Call it if `append` raised one of BAD_DATA.
    """
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        try:
            with transaction.atomic(using=settings.APP_METRICS_DATABASE):
                append(rows)
        except BAD_DATA as error:
            if len(rows) > 1:
                append_apart(rows[: len(rows) // 2])
                append_apart(rows[len(rows) // 2 :])
            else:
                slug = rows[0][ITEM_COLUMNS.index("slug")]
                warn_once(f"A number of {slug} was set aside as a quarantined item: {brief(error)}", source=slug)
                quarantine(ITEM_COLUMNS, [(rows[0], error)])


def quarantine(columns: Sequence[str], rows: Iterable[tuple[Sequence[Any], Exception]]) -> None:
    """Store rows of items that cannot be counted, each with the reason."""
    QuarantinedItem.objects.bulk_create((_quarantined(columns, *each) for each in rows), QUARANTINED_AT_ONCE)


def _quarantined(columns: Sequence[str], row: Sequence[Any], error: Exception) -> QuarantinedItem:
    payload = json.dumps(dict(zip(columns, map(str, row), strict=False)))  # in ASCII, which every database stores
    return QuarantinedItem(payload=payload, reason=ascii_only(f"{type(error).__name__}: {error}"))


def ascii_only(text: str) -> str:
    """Return a text in ASCII without NUL, which every database stores; other characters are escaped."""
    return text.replace("\0", "\\0").encode("ascii", "backslashreplace").decode()
