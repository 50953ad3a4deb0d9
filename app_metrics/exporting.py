"""Write stored totals out as rows, for other tools and for another installation of this app."""

import csv
import json
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, TextIO

from .models import Metric, Total
from .summary import trimmed

COLUMNS = ("slug", "kind", "period", "start", "labels", "count", "total", "minimum", "maximum", "last", "last_at")

# What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
ESCAPE = "'"

Row = dict[str, Any]


def count_rows(since: date | None = None) -> int:
    count: int = _totals(since).count()
    return count


def rows(since: date | None = None) -> Iterator[Row]:
    """Yield all totals of all periods that start on a date or later, each as COLUMNS, metric by metric.

    `start` is a date, or an ISO time with its offset where the period is "hour"; `labels` is a mapping; numbers are
    exact decimals as text; `last_at` is in microseconds of Unix time.
    """
    totals = _totals(since).order_by("period", "start", "hour", "labels")
    for metric in Metric.objects.order_by("slug"):
        for total in totals.filter(metric=metric).iterator():
            yield {
                "slug": metric.slug,
                "kind": metric.kind,
                "period": total.period,
                "start": total.starts_at.isoformat(),
                "labels": json.loads(total.labels),
                "count": total.count,
                **{name: _plain(getattr(total, name)) for name in ("total", "minimum", "maximum", "last")},
                "last_at": total.last_at,
            }


def write_csv(stream: TextIO, exported: Iterator[Row], advance: Callable[[int], None]) -> None:
    """Write rows as CSV (RFC 4180). A text that a spreadsheet would run as a formula begins with an apostrophe."""
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in exported:
        labels = json.dumps(row["labels"], ensure_ascii=False, sort_keys=True)
        writer.writerow([escaped(row["slug"]), *(row[name] for name in COLUMNS[1:4]), labels, *list(row.values())[5:]])
        advance(1)


def write_json(stream: TextIO, exported: Iterator[Row], advance: Callable[[int], None]) -> None:
    """Write rows as one JSON array, a row a line."""
    separator = "["
    for row in exported:
        stream.write(f"{separator}\n{json.dumps(row, ensure_ascii=False)}")
        separator = ","
        advance(1)
    stream.write("[]\n" if separator == "[" else "\n]\n")


def escaped(text: str) -> str:
    return ESCAPE + text if text.startswith(FORMULA) else text


def _totals(since: date | None) -> Any:
    return Total.objects.all() if since is None else Total.objects.filter(start__gte=since)


def _plain(number: Decimal) -> str:
    return f"{trimmed(number):f}"
