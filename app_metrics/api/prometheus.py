"""All-time totals and ratios in the formats of Prometheus, written by `prometheus_client` (the extra `prometheus`)."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from ..core.calendar import start_of, today
from ..core.comparisons import whole
from ..core.labels import readable_labels
from ..core.periods import WHOLE_DAYS
from ..core.plain_text import one_line
from ..core.sketches import UNIQUES
from ..core.summary import (
    COUNTER,
    GAUGE,
    MEASURED,
    TIMER,
    UNIQUE,
    Summary,
    distinct,
    merge_into,
    whole_histogram,
)
from ..models import Metric
from ..models.queries import QuerySources, all_time
from ..ratios.changes import operand_title
from ..ratios.declared import Ratio, ratios
from ..ratios.quotients import quotients
from .classic_buckets import cumulative

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family  # type: ignore[import-not-found,unused-ignore]

OPENMETRICS = "application/openmetrics-text"
HISTOGRAM = "histogram"
# Why a timer or distribution is a summary.
NO_BUCKETS = "no buckets: some numbers are negative, older than histograms, of another kind, or in a damaged histogram"
# Label names that have a special meaning in histograms and summaries.
RESERVED = ("le", "quantile")

Labels = tuple[tuple[str, str], ...]
# The summaries of one metric by label set.
LabelSets = Mapping[Labels, Summary]

_UNFIT = re.compile("[^a-zA-Z0-9_]")


class Unavailable(Exception):
    """The package `prometheus_client` is not installed."""


class Name(NamedTuple):
    """The name of a family, and all names that it occupies: its own and those of its samples, in every format."""

    family: str
    claimed: tuple[str, ...]


def latest(accept: str) -> tuple[bytes, str]:
    """Return all-time totals as text, and its content type: OpenMetrics if `accept` names it. Raises Unavailable."""
    try:
        from prometheus_client.exposition import choose_encoder  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise Unavailable from error
    # The header itself is not passed on: some versions fail on a malformed one, and our names need no escaping.
    encode, content_type = choose_encoder(OPENMETRICS if OPENMETRICS in accept else "")
    return encode(_Registry(list(families()))), content_type


def families() -> Iterator["Family"]:
    """Yield one family per metric with its all-time totals, and one per ratio, pending items included.

    A counter without events is 0; other metrics without events are left out. Two queries, or three if items with labels
    are pending, and those that the ratios need.
    """
    # Read first, so that a metric that is deleted or renamed meanwhile is left out as a whole.
    found: dict[str, dict[str, Summary]] = defaultdict(dict)
    for (slug, labels), summary in all_time(QuerySources.everything(), sketches=True).items():
        found[slug][labels] = summary
    metrics = list(Metric.objects.order_by("pk"))
    unknown = found.keys() - {metric.slug for metric in metrics}
    if unknown and Metric.objects.discover(unknown):
        metrics = list(Metric.objects.order_by("pk"))
    # Values between 0 and 1 are called so.
    divided = [replace(ratio, slug=f"{ratio.slug}_ratio") for ratio in ratios().values()]
    named = list(names(chain(metrics, divided)))
    for metric, name in zip(metrics, named, strict=False):
        summaries = found.get(metric.slug, {})
        if summaries or metric.kind == COUNTER:
            yield _family(metric, name, _plain_labels(summaries))
    yield from _ratio_families(list(ratios().values()), named[len(metrics) :], metrics)


def names(metrics: Iterable[Metric | Ratio]) -> Iterator[Name]:
    """Yield a name for each metric or ratio; if two names would be the same, the later one gets a number."""
    taken: set[str] = set()
    for metric in metrics:
        number = 1
        while taken & set((name := _name(metric, number)).claimed):
            number += 1
        taken.update(name.claimed)
        yield name


def label_names(keys: Iterable[str]) -> dict[str, str]:
    """Return a different Prometheus name for each label of one metric."""
    found: dict[str, str] = {}
    for key in sorted(keys):
        plain = _plain_label(key)
        name, number = plain, 1
        while name in found.values():
            number += 1
            # Two underscores at the beginning are reserved.
            name = f"{plain.removesuffix('_')}_{number}"
        found[key] = name
    return found


class _Registry:
    """The part of a registry that the encoders of `prometheus_client` use."""

    def __init__(self, collected: list["Family"]) -> None:
        self._collected = collected

    def collect(self) -> list["Family"]:
        return self._collected


def _name(metric: Metric | Ratio, number: int) -> Name:
    plain = _UNFIT.sub("_", metric.slug)
    plain = f"_{plain}" if plain[:1].isdigit() else plain
    suffix = f"_{number}" if number > 1 else ""
    if metric.kind in (GAUGE, UNIQUE):
        return Name(plain + suffix, (plain + suffix,))
    if metric.kind in MEASURED:
        is_timer = metric.kind == TIMER
        family = f"{plain.removesuffix('_seconds')}{suffix}_seconds" if is_timer else plain + suffix
        return Name(family, (family, *(f"{family}_{suffix}" for suffix in ("bucket", "count", "sum", "created"))))
    family = (plain.removesuffix("_total") or plain) + suffix
    return Name(family, (family, f"{family}_total", f"{family}_created"))


def _plain_label(key: str) -> str:
    plain = _UNFIT.sub("_", key)
    if plain.startswith("__") or not plain:
        plain = "_" + plain.lstrip("_")
    if plain[:1].isdigit():
        plain = f"_{plain}"
    return f"{plain}_" if plain in RESERVED else plain


def _plain_labels(summaries: Mapping[str, Summary]) -> LabelSets:
    """Return the summaries by Prometheus label set, in which a label with an empty value does not exist."""
    decoded = [(readable_labels(text), summary) for text, summary in summaries.items()]
    called = label_names({key for labels, _ in decoded for key in labels})
    found: dict[Labels, Summary] = {}
    for labels, summary in decoded:
        plain = tuple(sorted((called[key], value) for key, value in labels.items() if value))
        merge_into(found, plain, summary)
    return dict(sorted(found.items()))


def _family(metric: Metric, name: Name, summaries: LabelSets) -> "Family":
    from prometheus_client.core import Metric as Family

    kind, suffixes = _form(metric.kind, summaries.values())
    family = Family(name.family, _documentation(metric, kind), kind)
    for labels, summary in summaries.items():
        if kind == HISTOGRAM:
            _add_buckets(family, metric.kind, labels, summary)
        for suffix, number in suffixes.items():
            value = distinct(summary) if number == UNIQUES else getattr(summary, number)
            if value is not None:
                family.add_sample(name.family + suffix, dict(labels), float(value))
    if not summaries:
        family.add_sample(f"{name.family}_total", {}, 0.0)
    return family


def _add_buckets(family: "Family", kind: str, labels: Labels, summary: Summary) -> None:
    from prometheus_client.utils import floatToGoString  # type: ignore[import-not-found,unused-ignore]

    assert summary.histogram is not None
    for bound, count in cumulative(kind, summary.histogram):
        le = floatToGoString(bound)  # type: ignore[no-untyped-call,unused-ignore]
        family.add_sample(f"{family.name}_bucket", {**dict(labels), "le": le}, float(count))


def _ratio_families(found: Sequence[Ratio], named: Sequence[Name], metrics: Iterable[Metric]) -> Iterator["Family"]:
    """Yield a gauge for each ratio with a sample for each current period, unless its denominator is zero."""
    from prometheus_client.core import Metric as Family

    if not found:
        return
    known = {metric.slug: metric for metric in metrics}
    values = quotients(found, {period: whole(period, start_of(period, today())) for period in WHOLE_DAYS})
    for ratio, name in zip(found, named, strict=True):
        of, to = (operand_title(each, known) for each in (ratio.of, ratio.to))
        family = Family(name.family, one_line(f"{ratio.name}: {of} divided by {to}, in the current period"), "gauge")
        for period in WHOLE_DAYS:
            value = values[ratio.slug, period]._replace(factor=1).value
            if value is not None:
                family.add_sample(name.family, {"period": str(period)}, float(value))
        yield family


def _form(kind: str, summaries: Collection[Summary]) -> tuple[str, dict[str, str]]:
    """Return the type of a family, and the field of a summary for each suffix of a sample's name.

    In Prometheus, neither a counter nor the sum of a histogram or summary may fall. All samples of a family have one
    type, so all label sets need a histogram.
    """
    falls = any(summary.minimum < 0 for summary in summaries)
    if kind == GAUGE:
        return "gauge", {"": "last"}
    if kind == UNIQUE:
        return "gauge", {"": UNIQUES}
    if kind in MEASURED and falls:
        return "summary", {"_count": "count"}
    if kind in MEASURED:
        return HISTOGRAM if all(map(whole_histogram, summaries)) else "summary", {"_count": "count", "_sum": "total"}
    return ("gauge", {"": "total"}) if falls else ("counter", {"_total": "total"})


def _documentation(metric: Metric, kind: str) -> str:
    text = f"{metric.name}: {metric.description}" if metric.description else metric.name
    return one_line(f"{text} ({NO_BUCKETS})" if kind == "summary" else text)
