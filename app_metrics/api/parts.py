"""The filter and the split of a request: which label sets it wants, and by which label it groups them."""

from collections.abc import Hashable, Iterable, Mapping
from datetime import date
from typing import NamedTuple

from ..core.labels import OVERFLOW_LABELS, readable_labels
from ..core.periods import LONGEST, Period
from ..core.summary import Summary
from ..models import Metric, Total
from ..models.percentiles import MeasuredPoint, measured_series
from ..models.queries import QuerySources
from ..models.splitting import SplitSeries, Where, check_names, grouped, matches, measured_split
from .paging import Load
from .parameters import LABEL, WHERE, Mistake, Parameters

SPLIT = "split"
# Totals that a page of a series reads by default, which takes about a third of a second: if the database merges label
# sets, and if it does not, because they are grouped or have sketches.
MOST_MERGED, MOST_APART = 250_000, 10_000


class Parts(NamedTuple):
    """The labels that label sets must have, and the label that splits them; None if the request does not say."""

    where: Where | None
    split: str | None

    def check(self, metric: Metric) -> None:
        """Raise Mistake if no label set of the metric has one of these labels; one query if there are any."""
        names = [*(self.where or {}), *([] if self.split is None else [self.split])]
        try:
            if names:
                check_names(QuerySources.of([metric]), names)
        except ValueError as error:
            raise Mistake(str(error)) from error


# Summaries by their label set.
Results = list[tuple[dict[str, str], Summary]]


class Listed(NamedTuple):
    """The summaries of one period by label set, or by the label of a split, and that of the overflow series."""

    results: Results
    overflow: Summary | None
    # Those of everything that was asked for.
    whole: Iterable[Summary]


def parts_of(parameters: Parameters) -> Parts:
    parts = Parts(parameters.labels(WHERE), parameters.text(SPLIT) if SPLIT in parameters else None)
    if parameters.labels() and parts != Parts(None, None):
        raise Mistake(
            f"`{LABEL}NAME` selects one whole label set, which leaves nothing to filter or to split; leave it out, or "
            f"write `{WHERE}NAME`."
        )
    return parts


def load_of(slugs: Iterable[str], labels: Mapping[str, str] | None, *, is_apart: bool) -> Load:
    """Return what limits the points of a page: the aggregated label sets of some metrics; one query if there are any.

    It is one if the request names it. `is_apart` says that no database merges label sets.
    """
    if labels is not None:
        return Load(1, MOST_APART)
    totals = Total.objects.filter(metric__slug__in=slugs, period=LONGEST)
    label_sets = totals.values("labels").distinct().count()
    return Load(max(1, label_sets), MOST_APART if is_apart else MOST_MERGED)


def series_of(
    metric: Metric, period: Period, start: date, end: date, labels: Mapping[str, str] | None, parts: Parts
) -> SplitSeries[MeasuredPoint]:
    """Return the points of a series, and those of its groups and of the overflow series if they are wanted."""
    if parts == Parts(None, None):
        return SplitSeries({}, [], measured_series(metric, period, start, end, labels))
    return measured_split(metric, period, start, end, parts.split, parts.where)


def listed(found: Mapping[tuple[str, str, Hashable], Summary], parts: Parts) -> Listed:
    """Return what a result of `fold` holds for one period of a metric."""
    by_text = {text: summary for (_, text, _), summary in found.items()}
    if parts == Parts(None, None):
        results = [(readable_labels(text), by_text[text]) for text in sorted(by_text)]
        return Listed(results, None, by_text.values())
    overflow = by_text.get(OVERFLOW_LABELS)
    results = _groups(found, parts.split, parts.where) if parts.split is not None else _label_sets(by_text, parts.where)
    unlisted = [overflow] if overflow and not parts.where else []
    return Listed(results, overflow, [*(summary for _, summary in results), *unlisted])


def _groups(found: Mapping[tuple[str, str, Hashable], Summary], label: str, where: Where | None) -> Results:
    groups = grouped(found, label, where).groups
    values = sorted(groups, key=lambda value: (value is not None, value or ""))
    return [
        ({} if value is None else {label: value}, summary) for value in values for summary in groups[value].values()
    ]


def _label_sets(by_text: Mapping[str, Summary], where: Where | None) -> Results:
    return [(readable_labels(text), by_text[text]) for text in sorted(by_text) if matches(text, where or {})]
