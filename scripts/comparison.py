"""Compare what the visitors did with what the site counted."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

# A count and a total; the total is None if it is not known.
Pair = tuple[int, Decimal | None]
# Keys are `slug` and `slug{name=value}`.
Counts = Mapping[str, Pair]
# Numerator, denominator and value by the name of the ratio, as text.
Ratios = Mapping[str, Sequence[str]]

NOTHING = (0, Decimal(0))

# The ratios of the site: the total of one metric, divided by that of another, times a factor.
RATIOS = {
    "conversion": ("orders", "searches", 100),
    "average_order": ("revenue", "orders", 1),
    "failed_login_rate": ("failed_logins", "logins", 100),
}
QUANTUM = Decimal("0.000000001")


class Row(NamedTuple):
    what: str
    visited: str
    counted: str
    ok: bool


def compare(visited: Counts, counted: Counts) -> list[Row]:
    """Return a row for each visited metric, and for each other slug that was counted."""
    unexpected = {slug for slug, (count, _) in counted.items() if count and "{" not in slug}
    return [
        _row(slug, visited.get(slug, NOTHING), counted.get(slug, NOTHING))
        for slug in sorted(visited.keys() | unexpected)
    ]


def compare_ratios(visited: Counts, before: Ratios, after: Ratios) -> list[Row]:
    """Return a row for each ratio: that of the visits, and that of what the site counted in between.

    The site's own value covers more than the visits, so it is compared with its numerator and denominator.
    """
    rows = []
    for name, (of, to, factor) in RATIOS.items():
        (_, numerator), (_, denominator) = visited.get(of, NOTHING), visited.get(to, NOTHING)
        expected = _quotient(numerator or 0, denominator or 0, factor)
        (former, base), (latter, latest, value) = before.get(name, ("0", "0"))[:2], after[name]
        found = _quotient(Decimal(latter) - Decimal(former), Decimal(latest) - Decimal(base), factor)
        if value != _quotient(Decimal(latter), Decimal(latest), factor):
            found = f"{value} in all"
        rows.append(Row(f"{name} (ratio)", expected, found, expected == found))
    return rows


def _quotient(numerator: Decimal | int, denominator: Decimal | int, factor: int) -> str:
    if not denominator:
        return "None"
    return f"{(Decimal(numerator) * factor / denominator).quantize(QUANTUM).normalize():f}"


def growth(before: Counts, after: Counts) -> Counts:
    """Return how much the counts grew in between."""
    return {slug: _minus(sums, before.get(slug, NOTHING)) for slug, sums in after.items()}


def print_table(rows: Sequence[Row]) -> None:
    lines = [Row._fields, *((*row[:3], "yes" if row.ok else "NO") for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for what, visited, counted, ok in lines:
        print(f"  {what:<{widths[0]}}  {visited:>{widths[1]}}  {counted:>{widths[2]}}  {ok}")


def _row(slug: str, visited: Pair, counted: Pair) -> Row:
    if visited[1] is None:
        counted = (counted[0], None)
    return Row(slug, _words(*visited), _words(*counted), visited == counted)


def _minus(after: Pair, before: Pair) -> Pair:
    total = None if after[1] is None or before[1] is None else after[1] - before[1]
    return after[0] - before[0], total


def _words(count: int, total: Decimal | None) -> str:
    if total is None:
        return f"{count} times"
    if total == count:
        return str(count)
    return f"{count} times, {total.normalize():f} in all"
