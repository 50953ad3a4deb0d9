"""Export totals as lines of JSON, as data warehouses read them: with numbers in place of the sketches.

No warehouse can read a sketch. Percentiles are there as numbers, and a histogram as its counts by bucket, which a
warehouse can add up. Of a unique count there is just the number, because its hashes are personal data.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ..conf import time_zone
from ..core.numbers import plain
from ..core.periods import hour_start
from ..core.summary import FIELDS, MEASURED, SKETCHES, Summary, distinct
from ..models import Total
from ..models.percentiles import percentiles_of
from .exported_totals import Chosen, numbers_of, sketch_of

Line = dict[str, Any]


def lines(chosen: Chosen, report: Callable[[str], None]) -> Iterator[Line]:
    """Yield totals, metric by metric.

    `start` is an ISO date and `hour` the number of an hour, as they are stored; `starts_at` is when the period begins,
    in seconds of Unix time, and `last_at` is in microseconds. Other numbers are exact decimals as text.
    """
    zone = time_zone()
    for total in chosen.totals():
        yield {
            "slug": total.metric.slug,
            "kind": total.metric.kind,
            "period": total.period,
            "start": total.start.isoformat(),
            "hour": total.hour,
            "starts_at": int(hour_start(total.start, total.hour, zone).timestamp()),
            "labels": json.loads(total.labels),
            **numbers_of(total),
            **_of_sketches(total, report),
        }


def write_lines(stream: TextIO, exported: Iterator[Line], advance: Callable[[int], None]) -> None:
    """Write each line as a JSON object."""
    for line in exported:
        stream.write(f"{json.dumps(line, ensure_ascii=False)}\n")
        advance(1)


def _of_sketches(total: Total, report: Callable[[str], None]) -> Line:
    fields = {field.name: getattr(total, field.name) for field in FIELDS}
    summary = Summary(**fields, **{field.name: sketch_of(field, total, report) for field in SKETCHES})
    found = percentiles_of(summary) if total.metric.kind in MEASURED else {}
    return {
        "unique": distinct(summary),
        "percentiles": {f"p{percent}": plain(number) for percent, number in found.items() if number is not None},
        "buckets": dict(sorted(summary.histogram.counts.items())) if summary.histogram else {},
    }
