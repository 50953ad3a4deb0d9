"""Export stored totals as rows, for other tools and for other installations of this app."""

import csv
import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, TextIO

from ..core.labels import OVERFLOW_LABELS
from ..core.numbers import plain
from ..core.periods import LONGEST
from ..core.spreadsheets import escaped
from ..core.summary import DECODERS, FIELDS, NAMES, NUMBER, SKETCHES, UNREADABLE, Field, encode_sketch
from ..models import Item, Metric, Total
from ..models.primary import primary
from ..models.queries import QuerySources
from ..models.splitting import Where, check_names, matching_totals
from ..storage.unreadable import described

# Those of exports before there were sketches, which can still be imported.
OLD_COLUMNS = ("slug", "kind", "period", "start", "labels", *NAMES)
COLUMNS = (*OLD_COLUMNS, *(field.name for field in SKETCHES))

Row = dict[str, Any]


def count_rows(since: date | None = None, where: Where | None = None) -> int:
    count: int = _totals(since, where).count()
    return count


def rows(since: date | None, where: Where | None, report: Callable[[str], None]) -> Iterator[Row]:
    """Yield the totals of all periods that start on `since` or later, metric by metric; their keys are COLUMNS.

    With a filter, only those of matching label sets, each as it is stored, so that they can be imported.

    `start` is an ISO date, or for hours an ISO time with its UTC offset; `labels` is a mapping; numbers are exact
    decimals as text; `last_at` is in microseconds of Unix time; sketches are in Base64, or None. A sketch that cannot
    be read is exported as unknown, and `report` is called with what is wrong with it.
    """
    totals = _totals(since, where).order_by("period", "start", "hour", "labels")
    for metric in primary(Metric.objects).order_by("slug"):
        for total in totals.filter(metric=metric).iterator():
            yield {
                "slug": metric.slug,
                "kind": metric.kind,
                "period": total.period,
                "start": total.starts_at.isoformat(),
                "labels": json.loads(total.labels),
                **_values(total, report),
            }


def write_csv(stream: TextIO, exported: Iterator[Row], advance: Callable[[int], None]) -> None:
    """Write rows as CSV (RFC 4180). A text that a spreadsheet would run as a formula gets a leading apostrophe."""
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in exported:
        # Escaped as JSON does, so that no semicolon begins a cell, and the labels stay the same.
        labels = json.dumps(row["labels"], ensure_ascii=False, sort_keys=True).replace(";", r"\u003b")
        writer.writerow({**row, "slug": escaped(row["slug"]), "labels": labels}.values())
        advance(1)


def write_json(stream: TextIO, exported: Iterator[Row], advance: Callable[[int], None]) -> None:
    """Write rows as one JSON array, one row per line."""
    separator = "["
    for row in exported:
        stream.write(f"{separator}\n{json.dumps(row, ensure_ascii=False)}")
        separator = ","
        advance(1)
    stream.write("[]\n" if separator == "[" else "\n]\n")


def _values(total: Total, report: Callable[[str], None]) -> Row:
    values = ((field, getattr(total, field.name)) for field in FIELDS)
    fields = {field.name: plain(value) if field.holds == NUMBER else value for field, value in values}
    return fields | {field.name: encode_sketch(_sketch_of(total, field, report)) for field in SKETCHES}


def _sketch_of(total: Total, field: Field, report: Callable[[str], None]) -> Any:
    """Return a stored sketch, its parts merged, so that equal totals are exported alike."""
    data = getattr(total, field.name)
    try:
        return None if data is None else DECODERS[field.holds](data)
    except ValueError as error:
        report(f"{described(total, field)} cannot be read, and is exported as unknown. {error}")
        return UNREADABLE[field.holds]


def _totals(since: date | None, where: Where | None) -> Any:
    totals = matching_totals(primary(Total.objects), where) if where else primary(Total.objects)
    return totals if since is None else totals.filter(start__gte=since)


def check_where(where: Where) -> None:
    """Raise ValueError if no label set has one of the labels of a filter."""
    check_names(QuerySources(primary(Total.objects), primary(Item.objects)), where)


def overflown() -> list[str]:
    """Return the slugs of the metrics with an overflow series, which no filter matches."""
    totals = primary(Total.objects).filter(period=LONGEST, labels=OVERFLOW_LABELS)
    return sorted(set(totals.values_list("metric__slug", flat=True)))
