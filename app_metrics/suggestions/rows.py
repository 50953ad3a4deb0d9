"""Propose rules of models: rows that are added, numbers to add up, and changes of a status."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .amounts import Amount, amounts
from .dates import creation_date
from .labels import Label, label, labels
from .proposals import MODELS, Proposal
from .tables import Table
from .words import plural, snake, words

CREATED, UPDATED = "created", "updated"
# The last word of fields with the status of a row.
STATUS = {"phase", "stage", "state", "status"}
# Words of a status before or after a change, which a row keeps.
OF_CHANGES = {"from", "new", "old", "previous", "to"}
# Fields beside a "state" that is a part of an address.
OF_ADDRESS = {"city", "country", "postal_code", "postcode", "zip", "zip_code", "zipcode"}
# Tables whose additions are proposed at most: those with the best reasons.
MOST = 40
# Words in the names of models that record what people do.
DEEDS = {
    "answer", "application", "article", "attempt", "attendance", "bid", "booking", "change", "charge", "checkin",
    "comment", "contact", "contribution", "customer", "dispute", "document", "donation", "download", "enrollment",
    "entry", "event", "feedback", "file", "image", "invitation", "invoice", "issue", "job", "like", "member",
    "membership", "message", "notification", "order", "participant", "payment", "payout", "photo", "post", "profile",
    "project", "purchase", "question", "receipt", "refund", "registration", "report", "request", "reservation",
    "response", "review", "sale", "shipment", "signature", "submission", "subscription", "survey", "task", "ticket",
    "topic", "transaction", "transfer", "upload", "visit", "vote",
}  # fmt: skip


def of_rows(tables: Sequence[Table]) -> tuple[list[Proposal], list[str]]:
    """Return the proposals for tables, in their order, and the models whose additions are too many to propose."""
    dated = [table for table in tables if creation_date(table)]
    kept = sorted(dated, key=_merit, reverse=True)[:MOST]
    chosen = {table.model for table in kept} | {table.model for table in tables if not creation_date(table)}
    found = [proposal for table in tables if table.model in chosen for proposal in of_table(table)]
    return found, [table.model._meta.label for table in dated if table.model not in chosen]


def of_table(table: Table, slug: str | None = None) -> list[Proposal]:
    """Return the proposals for one table; `slug` is that of its additions if it has another one than its plural."""
    dated, splits = creation_date(table), labels(table)
    found: list[Proposal] = []
    if dated:
        more = _keys(splits, {"backfill": dated[0].name})
        found.append(_proposal(table, slug or _plural(table), CREATED, more, _reason(dated[1], splits)))
    sums = (_sum(table, amount, splits, dated) for amount in amounts(table, bool(dated)))
    return [*found, *sums, *_changes(table)]


def _merit(table: Table) -> tuple[int, int]:
    """Return how good the reasons are to count the rows of a table: the better ones compare as larger."""
    reasons = (
        bool(DEEDS & {*table.words}),
        bool(DEEDS & {table.words[-1]}),
        table.refers_to_users(),
        bool(amounts(table, True)),
        bool(table.size),
    )
    return sum(reasons), table.size


def _sum(table: Table, amount: Amount, splits: Sequence[Label], dated: tuple[Any, str] | None) -> Proposal:
    name = amount.field.name
    more: dict[str, Any] = {"num": name}
    if amount.field.null:
        more["when"] = {f"{name}__isnull": False}
    reason = amount.why if dated else f"{amount.why}; it counts from now on, because no field says when a row was added"
    more = _keys(splits, more | ({"backfill": dated[0].name} if dated else {}))
    return _proposal(table, f"{table.name}_{_without(table.words[-1], name)}", CREATED, more, _reason(reason, splits))


def _changes(table: Table) -> Iterator[Proposal]:
    names = {field.name for field in table.fields}
    for field in table.fields:
        last = words(field.name)[-1:]
        is_of_address = last == ["state"] and names & OF_ADDRESS
        if not last or last[0] not in STATUS or is_of_address or OF_CHANGES & {*words(field.name)}:
            continue
        split = label(table, field) or (Label(field.name, field.name, "") if not field.is_relation else None)
        if split:
            reason = f"{field.name} is a status; each save of an existing row counts, under the status that it has then"
            yield _proposal(table, f"{table.name}_updates", UPDATED, {"labels": {split.name: split.path}}, reason)
            return  # a second one would count the same saves again


def _keys(splits: Sequence[Label], more: Mapping[str, Any]) -> dict[str, Any]:
    return {**more, **({"labels": {split.name: split.path for split in splits}} if splits else {})}


def _reason(reason: str, splits: Sequence[Label]) -> str:
    return "; ".join([reason, *(f"{split.name} splits it: {split.why}" for split in splits)])


def _proposal(table: Table, slug: str, event: str, more: Mapping[str, Any], reason: str) -> Proposal:
    options = table.model._meta
    return Proposal(MODELS, options.label, slug, reason, snake(options.app_label), event, more)


def _plural(table: Table) -> str:
    first, underscore, last = table.name.rpartition("_")
    return f"{first}{underscore}{plural(last)}"


def _without(first: str, name: str) -> str:
    """Return a name for a slug that ends with `first`, which it does not repeat."""
    named = snake(name)
    return named.removeprefix(f"{first}_")
