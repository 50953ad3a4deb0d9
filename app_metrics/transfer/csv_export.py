"""Export stored totals as rows, for other tools and for other installations of this app."""

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ..core.labels import OVERFLOW_LABELS
from ..core.periods import LONGEST
from ..core.sketches import encode_sketch
from ..core.spreadsheets import escaped
from ..core.summary import NAMES, SKETCHES
from ..models import Item, Total
from ..models.primary import primary
from ..models.queries import QuerySources
from ..models.splitting import Where, check_names
from .exported_totals import Chosen, numbers_of, sketch_of

# Those of exports before there were sketches, which can still be imported.
OLD_COLUMNS = ("slug", "kind", "period", "start", "labels", *NAMES)
COLUMNS = (*OLD_COLUMNS, *(field.name for field in SKETCHES))

Row = dict[str, Any]


def rows(chosen: Chosen, report: Callable[[str], None]) -> Iterator[Row]:
    """Yield totals, metric by metric; their keys are COLUMNS.

    `start` is an ISO date, or for hours an ISO time with its UTC offset; `labels` is a mapping; numbers are exact
    decimals as text; `last_at` is in microseconds of Unix time; sketches are in Base64, or None. A sketch that cannot
    be read is exported as unknown, and `report` is called with what is wrong with it.
    """
    for total in chosen.totals():
        yield {
            "slug": total.metric.slug,
            "kind": total.metric.kind,
            "period": total.period,
            "start": total.starts_at.isoformat(),
            "labels": json.loads(total.labels),
            **numbers_of(total),
            **{field.name: encode_sketch(sketch_of(field, total, report)) for field in SKETCHES},
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


def check_where(where: Where) -> None:
    """Raise ValueError if no label set has one of the labels of a filter."""
    check_names(QuerySources(primary(Total.objects), primary(Item.objects)), where)


def overflown() -> list[str]:
    """Return the slugs of the metrics with an overflow series, which no filter matches."""
    totals = primary(Total.objects).filter(period=LONGEST, labels=OVERFLOW_LABELS)
    return sorted(set(totals.values_list("metric__slug", flat=True)))
