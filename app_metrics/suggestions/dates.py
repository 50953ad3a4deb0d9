"""Find the date field that says when a row was added."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import DateField, DateTimeField

from ..core.calendar import aware, today
from .tables import Table
from .words import words

# Words in the name of such a field.
CREATED = {
    "added", "created", "creation", "enrolled", "inserted", "issued", "joined", "opened", "ordered", "placed", "posted",
    "purchased", "received", "registered", "registration", "requested", "signup", "submitted", "subscribe",
    "subscribed", "uploaded",
}  # fmt: skip
# Names of moments that may mean it, if every row has one.
PLAIN = {"date", "datetime", "event_time", "pub_date", "published", "time", "timestamp", "when", "when_added"}
# Words in the name of a date that changes later, or that lies ahead.
OTHER = {
    "birth", "completed", "deleted", "due", "end", "ended", "expected", "expires", "expiry", "last", "latest",
    "modified", "until", "updated",
}  # fmt: skip


def creation_date(table: Table) -> tuple[Any, str] | None:
    """Return the date field, and why it is that one; None if no field is.

    A child model without such a field has that of its parent, so that its rows count on their own as well.
    """
    for fields in (table.fields, table.model._meta.concrete_fields):
        if found := list(_candidates(table, fields)):
            _, field, why = min(found, key=lambda each: (each[0], not isinstance(each[1], DateTimeField)))
            return field, why
    return None


def _candidates(table: Table, fields: Sequence[Any]) -> Iterator[tuple[int, Any, str]]:
    for field in fields:
        if not isinstance(field, DateField) or field.auto_now:
            continue
        named = {*words(field.name)}
        if named & OTHER:
            continue
        if field.auto_now_add:
            yield 0, field, f"{field.name} is set when a row is added"
        elif not _may_be(field, table.values(field.attname)):
            continue
        elif named & CREATED:
            yield 1, field, f"the name of {field.name} says when a row is added"
        elif _is_now(field.default):
            yield 2, field, f"the default of {field.name} is the moment when a row is added"
        elif field.name in PLAIN and isinstance(field, DateTimeField) and not field.null:  # a plain day may be planned
            yield 3, field, f"{field.name} is the moment that every row has"


def _is_now(default: Any) -> bool:
    is_clock = getattr(default, "__name__", "") in ("now", "today", "utcnow", "localdate", "localtime")
    return callable(default) and is_clock


def _may_be(field: Any, values: list[Any]) -> bool:
    """Return whether most rows of the sample have a date, and none lies ahead."""
    dated = [value for value in values if value is not None]
    return len(dated) * 2 >= len(values) and not any(_is_ahead(value) for value in dated)


def _is_ahead(value: Any) -> bool:
    if isinstance(value, datetime):
        return aware(value) > datetime.now(UTC) + timedelta(days=1)
    return isinstance(value, date) and value > today() + timedelta(days=1)
