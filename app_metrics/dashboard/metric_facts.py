"""The facts that the page of a metric shows above the chart."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Min, Subquery, Sum
from django.db.models.functions import Cast

from ..core.calendar import today
from ..core.labels import OVERFLOW_LABELS, readable_labels
from ..core.numbers import DECIMAL_PLACES, MAX_DIGITS
from ..core.periods import DAY, LONGEST, MONTH
from ..core.summary import COUNTER, Summary, merge_all
from ..models import Metric, Milestone, Total
from ..models.aggregates import are_exact
from ..models.fields import PlainDecimalField
from ..models.queries import QuerySources, all_time
from ..ratios.declared import Ratio

SHOWN_MILESTONES = 5
# Points times label sets that a page reads for what nobody asked for, on a database that cannot merge label sets, and
# on one that can. That many take a fifth of a second, or about a second.
MOST_EXTRA_POINTS, MOST_MERGED_POINTS = 25_000, 250_000
# The same for points with histograms, which no database merges; that many take about a second.
MOST_HISTOGRAMS = 20_000
# Days times label sets that are added up to find the best day, which takes at most a fifth of a second.
MOST_ADDED_DAYS = 250_000


@dataclass(frozen=True, slots=True)
class Facts:
    """A metric's summary of all time, its labels, the counter's best day, and the latest milestones.

    `values` holds the values of each label, without those in the overflow series. `label_sets` is the number of label
    sets. `since` is the date of the first total, or of the first pending event before there is one. `best` is the day
    with the largest total among the days that are aggregated and not pruned; None for gauges and timers, and if there
    are too many days and label sets.
    """

    whole: Summary | None
    label_sets: int
    values: Mapping[str, Sequence[str]]
    since: date | None
    best: tuple[date, Decimal] | None
    milestones: Sequence[Milestone]

    @property
    def labels(self) -> list[str]:
        return list(self.values)

    def can_read(self, points: int) -> bool:
        """Return whether so many points are read fast; each label set has its own."""
        most = MOST_MERGED_POINTS if are_exact(Total.objects) else MOST_EXTRA_POINTS
        return points * max(1, self.label_sets) <= most

    def can_read_histograms(self, points: int) -> bool:
        """Return whether the histograms of so many points are read fast."""
        return points * max(1, self.label_sets) <= MOST_HISTOGRAMS


def facts_of(metric: Metric) -> Facts:
    """Return the facts of a metric; three queries.

    One more for the best day of a counter, and one each if items with labels are pending or no total exists.
    """
    found = all_time(QuerySources.of([metric]))
    milestones = Milestone.objects.filter(slug=metric.slug).order_by("-reached_at", "-value")
    since, whole = _first_day(metric), merge_all(found.values())
    best = _best_day(metric, since, len(found))
    values = _values(text for _, text in found)
    return Facts(whole, len(found), values, since, best, list(milestones[:SHOWN_MILESTONES]))


def facts_of_ratio(ratio: Ratio) -> Facts:
    """Return what limits the points of a ratio's chart: the aggregated label sets of its metrics; one query."""
    totals = Total.objects.filter(metric__slug__in={ratio.of.slug, ratio.to.slug}, period=LONGEST)
    return Facts(None, totals.values("labels").distinct().count(), {}, None, None, ())


def _values(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return the values of each label that label sets have, both sorted."""
    values: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        for name, value in readable_labels(text).items() if text != OVERFLOW_LABELS else ():
            values[name].add(value)
    return {name: sorted(values[name]) for name in sorted(values)}


def _first_day(metric: Metric) -> date | None:
    """Return the date of the first total, or of the first pending event before there is one.

    If days were pruned, the first month says when counting began.
    """
    totals = Total.objects.filter(metric=metric).order_by("start")
    first = {name: Subquery(totals.filter(period=name).values("start")[:1]) for name in (DAY, MONTH)}
    day: date | None
    month: date | None
    day, month = Metric.objects.filter(pk=metric.pk).values_list(first[DAY], first[MONTH]).get()
    if day is None:
        return month or _first_pending_day(metric)
    return day if MONTH.start_of(day) == month else month


def _best_day(metric: Metric, since: date | None, label_sets: int) -> tuple[date, Decimal] | None:
    """Return a counter's day with the largest total, the first of equal days; None if too many totals are added."""
    if since is None or metric.kind != COUNTER or ((today() - since).days + 1) * label_sets > MOST_ADDED_DAYS:
        return None
    number = PlainDecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)
    days = Total.objects.filter(metric=metric, period=DAY).order_by().values("start")
    # Exact, except on SQLite, which compares only 15 digits.
    summed = days.annotate(summed=Sum(Cast("total", number), output_field=number))
    row = summed.order_by("-summed", "start").first()
    return (row["start"], row["summed"]) if row else None


def _first_pending_day(metric: Metric) -> date | None:
    sources = QuerySources.of([metric])
    stored = sources.items.aggregate(first=Min("day"))["first"]
    elsewhere = [key.day for batch in sources.pending.batches for key in batch.summaries]
    return min([*elsewhere, *([stored] if stored else [])], default=None)
