"""Compare the figures that the terminal, the mail and the dashboard show with those of the site's own tables."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

# What the reports call them, and the column of `metrics_show`.
FIGURES = {
    "active_users": ("Active users", "different"),
    "checkout_seconds": ("Duration of a checkout", "p95"),
    "conversion": ("conversion", "ratio"),
    "average_order": ("average_order", "ratio"),
    "stickiness": ("stickiness", "ratio"),
}
# The command that fills the days of the history.
BACKFILL = ("metrics_backfill", "active_users", "--model=visits.Visit", "--field=at", "--unique=user_id")
TITLES = {"checkout_seconds": "checkout_seconds, p95"}
UNITS = {"conversion": "%", "average_order": "€", "stickiness": "%"}
NOTHING = "–"
PERCENTILE = "checkout_seconds"
# The promise: a percentile differs from the true one by at most as much.
PERCENTILE_ERROR = Decimal("0.011")
# More different ones than this are an estimate; four standard errors.
EXACT, ESTIMATE_ERROR = 1000, 4 * Decimal("0.0163")
# The charts of the checkout whose last number is that of a period: their range, and what they divide it into.
CHARTS = {"today": ("2d", "day"), "this week": ("7d", "week"), "this month": ("28d", "month")}
# The table of `metrics_show` with a period, and its place from the end.
ROWS = {
    "today": ("day", 1),
    "yesterday": ("day", 2),
    "this week": ("week", 1),
    "last week": ("week", 2),
    "this month": ("month", 1),
}
DASHBOARD = "/admin/app_metrics/dashboard/"

# Seconds in the units of durations, which are shown with three digits; other units are shown with two decimals.
SECONDS = {"s": Decimal(1), "ms": Decimal("0.001"), "µs": Decimal("0.000001")}
NUMBER = re.compile(r"([\d,]*\.?\d+)(?:\s(ms|µs|s|%|€))?")
CELL = re.compile(r"<td>(.*?)</td>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")

# The lowest and the highest value that a figure may have; None if there is none.
Bounds = Sequence[str] | None
# What is shown by place; None where a figure is not shown.
Places = Mapping[str, str | None]


class FigureRow(NamedTuple):
    figure: str
    period: str
    own: str
    terminal: str
    dashboard: str
    mail: str
    ok: bool


class Shown(NamedTuple):
    """A number that was shown, and by how much it may have been rounded."""

    number: Decimal
    rounding: Decimal


def compare_figures(read: Mapping[str, Any], pages: Mapping[str, str]) -> list[FigureRow]:
    """Return a row for each figure and period.

    `read` is what `show_figures` prints, and `pages` are the pages of `dashboard_paths`, by path.
    """
    return [
        _row(slug, period, bounds, _places(slug, period, read, pages))
        for slug in FIGURES
        for period, figures in read["own"].items()
        for bounds in [figures[slug]]
    ]


def dashboard_paths() -> list[str]:
    return [DASHBOARD, *(_chart_path(*chart) for chart in CHARTS.values())]


def days(read: Mapping[str, Any], pages: Mapping[str, str]) -> set[str]:
    """Return the days on which the figures were read: two if it was midnight in between."""
    return {*read["days"], json.loads(pages[_chart_path(*CHARTS["today"])])["last"]}


def print_figures(rows: Sequence[FigureRow]) -> None:
    lines = [FigureRow._fields, *((*row[:-1], "yes" if row.ok else "NO") for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for figure, period, *numbers in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(numbers, widths[2:], strict=True))
        print(f"  {figure:<{widths[0]}}  {period:<{widths[1]}}  {'  '.join(cells)}".rstrip())


def _row(slug: str, period: str, bounds: Bounds, places: Places) -> FigureRow:
    ok = all(agrees(slug, bounds, text) for text in places.values() if text is not None)
    is_shown = any(text is not None for text in places.values())
    texts = {place: text or "" for place, text in places.items()}
    return FigureRow(TITLES.get(slug, slug), period, _own(slug, bounds), **texts, ok=ok and is_shown)


def agrees(slug: str, bounds: Bounds, text: str) -> bool:
    """Return whether a text shows a number within these bounds, as exact as it is promised."""
    shown = shown_number(text)
    if bounds is None or shown is None:
        return shown is None and (bounds is None or bounds[1] == "0")
    lowest, highest = map(Decimal, bounds)
    error = PERCENTILE_ERROR if slug == PERCENTILE else Decimal(0)
    if slug == "active_users" and highest > EXACT:
        error = ESTIMATE_ERROR
    return lowest * (1 - error) - shown.rounding <= shown.number <= highest * (1 + error) + shown.rounding


def shown_number(text: str) -> Shown | None:
    """Return the first number of a text, a duration in seconds; None if there is none, as in "n/a"."""
    found = NUMBER.search(text)
    if not found:
        return None
    number, unit = Decimal(found[1].replace(",", "")), found[2]
    if unit in SECONDS:
        return Shown(number * SECONDS[unit], Decimal(5).scaleb(number.adjusted() - 3) * SECONDS[unit])
    return Shown(number, Decimal("0.005") if unit else Decimal(0))


def _places(slug: str, period: str, read: Mapping[str, Any], pages: Mapping[str, str]) -> Places:
    return {
        "terminal": _in_terminal(slug, period, read["terminal"][slug]),
        "dashboard": _on_dashboard(slug, period, pages),
        "mail": _in_mail(slug, read["mail"]) if period == "last week" else None,
    }


def _in_terminal(slug: str, period: str, printed: Mapping[str, str]) -> str:
    unit, back = ROWS[period]
    table = [re.split(r"\s{2,}", line.strip()) for line in printed[unit].splitlines()]
    head, rows = table[1], [cells for cells in table if re.match(r"\d{4}-\d\d-\d\d", cells[0])]
    return rows[-back][1 + head.index(FIGURES[slug][1])]


def _on_dashboard(slug: str, period: str, pages: Mapping[str, str]) -> str | None:
    """Return what the overview shows, or the chart of the checkout: the overview has only yesterday's percentile."""
    if slug == PERCENTILE and period in CHARTS:
        chart = json.loads(pages[_chart_path(*CHARTS[period])])
        numbers = next(column["numbers"] for column in chart["columns"] if column["key"] == "p95")
        return _with_unit(slug, Decimal(numbers[-1])) if numbers[-1] else NOTHING
    columns = ["today", "change", "yesterday", "this week", "this month"]
    if period not in columns:
        return None
    [row] = re.findall(rf'<tr id="(?:row|ratio)-{slug}">(.*?)</tr>', pages[DASHBOARD], re.DOTALL)
    cell = CELL.findall(row)[columns.index(period)]
    first, *rest = [html.unescape(TAG.sub("", part)).strip() for part in cell.split("<br>")]
    return rest[0].removeprefix("p95 ") if slug == PERCENTILE and rest else first


def _chart_path(name: str, period: str) -> str:
    return f"{DASHBOARD}metric/{PERCENTILE}/?range={name}&period={period}&format=json"


def _in_mail(slug: str, mail: str) -> str:
    name, column = FIGURES[slug]
    [block] = re.findall(rf"^{name}(\s{{2,}}.*?)\n\n", f"{mail}\n\n", re.DOTALL | re.MULTILINE)
    if column != "p95":
        return re.split(r"\s{2,}", block.strip())[0]
    found = re.search(r"^    p95: ([^,\n]*)", block, re.MULTILINE)
    return found[1] if found else NOTHING


def _own(slug: str, bounds: Bounds) -> str:
    if bounds is None:
        return NOTHING
    texts = [_with_unit(slug, Decimal(each)) for each in bounds]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def _with_unit(slug: str, number: Decimal) -> str:
    if slug == PERCENTILE:
        return f"{number * 1000:.4g} ms"
    return f"{number.quantize(Decimal('0.01'), ROUND_HALF_UP)} {UNITS[slug]}" if slug in UNITS else str(number)
