"""Record batches with the metrics API of OpenTelemetry; the project configures where its SDK sends them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.metrics import Counter, Histogram, get_meter

from ..core.batch import Batch
from ..core.dropped import NOT_EXPORTED, drop
from ..core.labels import decode_labels
from ..core.summary import COUNTER, DISTRIBUTION, GAUGE, UNIQUE, Summary
from .export import Exporter, numbers_of

if TYPE_CHECKING:
    from opentelemetry.metrics import _Gauge  # the class has no public name yet, unlike create_gauge()

# The usual buckets for seconds; the SDK's defaults suit milliseconds. A view may replace them.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

Attributes = Mapping[str, str]
Record = Callable[[Summary, Attributes], None]


class MetricsBackend(Exporter):
    """Each metric is one instrument, of the kind under which this process first recorded it."""

    blocks = False  # the SDK sends from its own thread

    def __init__(self) -> None:
        super().__init__()
        self._meter = get_meter("app_metrics")
        self._records: dict[str, Record] = {}

    def write(self, batch: Batch) -> None:
        for series, summary in self.series(batch).items():
            if series.kind != UNIQUE:  # no instrument counts different values
                self._record(series.slug, series.kind)(summary, decode_labels(series.labels))

    def _record(self, slug: str, kind: str) -> Record:
        record = self._records.get(slug)
        if record is None:
            record = self._records[slug] = self._new_record(slug, kind)
        return record

    def _new_record(self, slug: str, kind: str) -> Record:
        name = slug if slug[0].isalpha() else f"metric_{slug}"  # names must begin with a letter
        if kind == COUNTER:
            return partial(_count, self._meter.create_counter(name), slug)
        if kind == GAUGE:
            return partial(_set, self._meter.create_gauge(name))
        if kind == DISTRIBUTION:
            return partial(_measure, self._meter.create_histogram(name), slug)
        histogram = self._meter.create_histogram(name, "s", explicit_bucket_boundaries_advisory=BUCKETS)
        return partial(_measure, histogram, slug)


# Numbers are sent as floats: the SDK's integers have 64 bits, and a larger one would fail the whole export.


def _count(counter: Counter, slug: str, summary: Summary, attributes: Attributes) -> None:
    if summary.total < 0:
        return drop(NOT_EXPORTED, f"{slug} decreased, but an OpenTelemetry counter can only increase", summary.count)
    return counter.add(float(summary.total), attributes)


def _set(gauge: "_Gauge", summary: Summary, attributes: Attributes) -> None:
    gauge.set(float(summary.last), attributes)


def _measure(histogram: Histogram, slug: str, summary: Summary, attributes: Attributes) -> None:
    for number in numbers_of(slug, summary):
        histogram.record(float(number), attributes)
