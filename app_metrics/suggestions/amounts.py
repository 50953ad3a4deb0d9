"""Find numbers that are worth adding up: amounts, prices, quantities."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db.models import DecimalField, FloatField, IntegerField

from .tables import Table
from .words import words

# Words in the names of such numbers, the better one first.
MONEY = ("total", "amount", "revenue", "sum", "value", "price", "subtotal", "fee", "cost", "donation", "tip", "paid")
QUANTITY = ("quantity", "qty", "units", "size", "bytes", "seconds", "minutes", "hours", "duration", "points")
# Words in the names of numbers that are no part of a sum.
OTHER = {
    "allocated", "available", "balance", "capacity", "count", "default", "discount", "height", "id", "index", "initial",
    "level", "limit", "max", "maximum", "min", "minimum", "no", "num", "number", "order", "original", "page", "per",
    "percent", "percentage", "position", "precision", "rank", "rate", "remaining", "reserved", "retry", "stock", "tax",
    "threshold", "unit", "version", "weight", "width",
}  # fmt: skip
# Words in the names of models whose rows offer something, instead of recording that it happened.
OFFERS = {
    "account", "bag", "band", "benefit", "budget", "campaign", "catalog", "category", "condition", "coupon", "device",
    "discount", "method", "offer", "package", "plan", "price", "product", "promotion", "quota", "range", "rate",
    "record", "service", "shipping", "tariff", "tier", "variant", "variation", "voucher", "wallet", "wishlist",
}  # fmt: skip
# The last words of models whose rows record what was bought or paid, even without a date.
RECORDS = {"donation", "line", "payment", "position", "purchase", "refund", "sale", "transaction"}
# Words of what one piece costs if there is a quantity beside it, unless it is the price of the whole row.
UNIT = {"cost", "price", "value"}
WHOLE = {"line", "row", "sum", "total"}
# Words of the better one of two totals, and of the other one. Both may be totals "incl_tax", which is no tax.
GROSS = {"grand", "gross", "incl", "including"}
NET = {"excl", "excluding", "net"}


class Amount(NamedTuple):
    """A field to add up, and why."""

    field: Any
    why: str


def amounts(table: Table, has_date: bool) -> list[Amount]:
    """Return at most one amount of money and one quantity of a model that records what happened."""
    if OFFERS & {*table.words} or table.words == ["item"] or not (has_date or table.words[-1] in RECORDS):
        return []
    money, quantity = _best(table, MONEY, "an amount"), _best(table, QUANTITY, "a quantity")
    if money and quantity and UNIT & {*words(money.field.name)} and not WHOLE & {*words(money.field.name)}:
        money = None
    return [each for each in (money, quantity) if each]


def _best(table: Table, wanted: Sequence[str], what: str) -> Amount | None:
    ranked = sorted(_ranked(table, wanted), key=lambda each: each[:2])  # else in the order of fields
    return Amount(ranked[0][2], f"{ranked[0][2].name} is {what} by its name") if ranked else None


def _ranked(table: Table, wanted: Sequence[str]) -> Iterator[tuple[int, int, Any]]:
    for field in filter(_is_number, table.fields):
        named = {*words(field.name)}
        gross, net = bool(GROSS & named), bool(NET & named)
        ranks = [wanted.index(word) for word in named & {*wanted}]
        if ranks and not OTHER & (named - {"tax"} if gross or net else named):
            yield min(ranks), net - gross, field


def _is_number(field: Any) -> bool:
    is_key = field.primary_key or field.is_relation or bool(field.choices)
    return isinstance(field, (DecimalField, FloatField, IntegerField)) and not is_key
