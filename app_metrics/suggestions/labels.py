"""Choose labels: fields with few values that a row keeps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, CharField, SlugField

from .tables import Table
from .words import words

MOST = 3
# Different values that a label may have.
FEW = 20
# Rows of a sample that are enough to see whether a field has few values.
ENOUGH = 50
# The last word of texts that have few values.
SPLITTING = {
    "carrier", "channel", "country", "currency", "gateway", "kind", "language", "locale", "method", "mode", "plan",
    "platform", "provider", "source", "tier", "type",
}  # fmt: skip
# The last word of models that have few rows.
SMALL = {
    "board", "branch", "category", "channel", "class", "country", "currency", "department", "forum", "gateway", "kind",
    "language", "method", "newsletter", "office", "plan", "provider", "queue", "region", "site", "source", "store",
    "team", "tier", "type", "warehouse",
}  # fmt: skip
# Words in the names of fields that change during the life of a row, so that its past would be wrong.
CHANGING = {
    "active", "approved", "archived", "assigned", "available", "blocked", "canceled", "cancelled", "checked", "closed",
    "completed", "confirmed", "default", "deleted", "dirty", "disabled", "done", "draft", "enabled", "expired",
    "failed", "finished", "flagged", "hidden", "live", "locked", "on", "opened", "paid", "pending", "phase", "pinned",
    "posted", "primary", "priority", "processed", "public", "published", "read", "refunded", "removed",
    "resolved", "revoked", "seen", "sent", "severity", "shipped", "spam", "stage", "state", "status", "subscribed",
    "succeeded", "success", "unread", "unsubscribed", "valid", "verified", "visible",
}  # fmt: skip
# Fields of a related row that name it.
NAMES = ("code", "slug", "name", "title", "label", "identifier", "iso_code", "iso_3166_1_a2", "domain")


@dataclass(frozen=True, slots=True)
class Label:
    """A label: its name, the path of its value, and why it has few values."""

    name: str
    path: str
    why: str


def labels(table: Table) -> list[Label]:
    """Return the labels of a model's rules; a currency comes first, because sums in several mean nothing."""
    found = sorted(_candidates(table), key=lambda label: "currency" not in label.name)  # else in the order of fields
    return found[:MOST]


def label(table: Table, field: Any) -> Label | None:
    """Return the label that a field makes; None if it may have many values."""
    if field.is_relation:
        return _related(table, field)
    if isinstance(field, BooleanField):
        return Label(field.name, field.name, "yes or no")
    if field.choices:
        return _chosen(table, field)
    last = words(field.name)[-1:]
    if isinstance(field, CharField) and last and (last[0] in SPLITTING or "new" in words(field.name)):
        return Label(field.name, field.name, "few values by its name") if _has_few(table, field, True) else None
    return None


def _candidates(table: Table) -> Iterator[Label]:
    for field in table.fields:
        if not field.primary_key and _stays(field) and (found := label(table, field)):
            yield found


def _stays(field: Any) -> bool:
    """Return whether a row keeps the value of a field, as the "new_status" of a change."""
    named = {*words(field.name)}
    return not CHANGING & named or "new" in named


def _chosen(table: Table, field: Any) -> Label | None:
    number = len(field.flatchoices)
    return Label(field.name, field.name, f"{number} choices") if _has_few(table, field, number <= FEW) else None


def _related(table: Table, field: Any) -> Label | None:
    related = field.related_model
    named = {each.name: each for each in related._meta.concrete_fields}
    path = next((name for name in NAMES if type(named.get(name)) in (CharField, SlugField)), None)
    is_small = words(related.__name__)[-1:] and words(related.__name__)[-1] in SMALL
    if path is None or related is table.model or not _has_few(table, field, bool(is_small)):
        return None
    return Label(field.name, f"{field.name}.{path}", f"few rows of {related._meta.label}")


def _has_few(table: Table, field: Any, expected: bool) -> bool:
    """Return whether a field has few values: in the sample, or as its declaration lets expect if that is too small."""
    values = table.values(field.attname)
    number = len(set(map(str, values)))
    if len(values) < ENOUGH:
        return expected and number <= FEW
    return (1 if field.name == "currency" else 2) <= number <= FEW
