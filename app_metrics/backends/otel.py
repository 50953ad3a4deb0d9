"""Record batches by the metrics API of OpenTelemetry; the project chooses where its SDK sends them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.metrics import Counter, Histogram, get_meter

from ..core.batch import Batch
from ..core.dropped import NOT_EXPORTED, drop
from ..core.labels import decode_labels
from ..core.summary import COUNTER, GAUGE, Summary
from .export import Exporter, timings_of

if TYPE_CHECKING:
    from opentelemetry.metrics import _Gauge  # its name is not public yet, create_gauge() is

# The usual buckets of durations in seconds; the SDK's own are made for milliseconds. A view replaces them.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

Attributes = Mapping[str, str]
Record = Callable[[Summary, Attributes], None]


class MetricsBackend(Exporter):
    """A metric is one instrument, of the kind it was first recorded under in this process."""

    blocks = False  # the SDK keeps the numbers, and sends them from a thread of its own

    def __init__(self) -> None:
        super().__init__()
        self._meter = get_meter("app_metrics")
        self._records: dict[str, Record] = {}

    def write(self, batch: Batch) -> None:
        for series, summary in self.series(batch).items():
            self._record(series.slug, series.kind)(summary, decode_labels(series.labels))

    def _record(self, slug: str, kind: str) -> Record:
        record = self._records.get(slug)
        if record is None:
            record = self._records[slug] = self._new_record(slug, kind)
        return record

    def _new_record(self, slug: str, kind: str) -> Record:
        name = slug if slug[0].isalpha() else f"metric_{slug}"  # it must begin with a letter
        if kind == COUNTER:
            return partial(_count, self._meter.create_counter(name), slug)
        if kind == GAUGE:
            return partial(_set, self._meter.create_gauge(name))
        histogram = self._meter.create_histogram(name, "s", explicit_bucket_boundaries_advisory=BUCKETS)
        return partial(_time, histogram, slug)


# Numbers are floats there: an SDK's integers have 64 bits, and one that does not fit would stop the export of all.


def _count(counter: Counter, slug: str, summary: Summary, attributes: Attributes) -> None:
    if summary.total < 0:
        return drop(NOT_EXPORTED, f"{slug} went down, which a counter of OpenTelemetry does not", summary.count)
    return counter.add(float(summary.total), attributes)


def _set(gauge: "_Gauge", summary: Summary, attributes: Attributes) -> None:
    gauge.set(float(summary.last), attributes)


def _time(histogram: Histogram, slug: str, summary: Summary, attributes: Attributes) -> None:
    for seconds in timings_of(slug, summary):
        histogram.record(float(seconds), attributes)
