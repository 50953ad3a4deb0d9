"""How a ratio changes, in words, and whether that is good news."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.utils.translation import ngettext, pgettext

from ..contrib.news import better_of, judged
from ..core.comparisons import DOWN, NEITHER, NOT_AVAILABLE, SAME, UP, Change
from ..core.formatting import shown, shown_change
from ..core.numbers import ROUNDING, Number
from ..core.periods import Piece
from ..core.summary import COUNTER, UNIQUE
from ..models import Metric
from .declared import Ratio
from .operands import COUNT, DISTINCT, Operand
from .quotients import Quotient

# Points have two decimal places, unless they are fewer.
HUNDREDTH = Decimal("0.01")
# The metrics that exist by their slugs.
Metrics = Mapping[str, Metric]


@dataclass(frozen=True, slots=True)
class RatioChange(Change):
    """A ratio compared with that of an earlier period."""

    ratio: Ratio
    start: date | None
    now: Quotient
    then: Quotient

    @property
    def current(self) -> Number | None:
        return self.now.value

    @property
    def base(self) -> Number | None:
        return None if self.start is None else self.then.value

    @property
    def verdict(self) -> str:
        if None in (self.then.numerator, self.then.denominator):  # unknown, which is not the same as nothing
            return NOT_AVAILABLE
        # A change from 0 % is known in points.
        if self.ratio.is_percent and self.base == 0 and self.current is not None:
            return UP if self.current > 0 else DOWN if self.current < 0 else SAME
        return super(RatioChange, self).verdict  # a dataclass with slots is not the class that super() alone means


def metrics_of(ratios: Iterable[Ratio], using: str | None = None) -> Metrics:
    """Return the metrics that ratios divide, as far as they exist, by slug; one query."""
    slugs = {operand.slug for ratio in ratios for operand in (ratio.of, ratio.to)}
    return {metric.slug: metric for metric in Metric.objects.using(using).filter(slug__in=slugs)}


def counted_since(ratio: Ratio, metrics: Metrics, first: Mapping[int, date]) -> date | None:
    """Return the date from which on both metrics were counted; None if one was not yet. `first` is by primary key."""
    slugs = {ratio.of.slug, ratio.to.slug}
    known = [first[metrics[slug].pk] for slug in slugs if slug in metrics and metrics[slug].pk in first]
    return max(known) if len(known) == len(slugs) else None


def compared(ratio: Ratio, since: date | None, base: Collection[Piece], now: Quotient, then: Quotient) -> RatioChange:
    """Return the change since the span `base`; `since` is the date from which on both metrics were counted.

    If that is later than the span, the ratio is new. If it is within the span, the span is no base.
    """
    if since is None or not base:
        return RatioChange(ratio, None, now, then)
    start = min(start for _, start, _ in base)
    if since > max(period.last_day(start) for period, start, _ in base):
        return new(ratio, start, now)
    return RatioChange(ratio, start if since < ratio.first_day(base) else None, now, then)


def new(ratio: Ratio, start: date, now: Quotient) -> RatioChange:
    """Return the change since a period in which a metric was not counted."""
    return RatioChange(ratio, start, now, Quotient(0, 0, ratio.factor))


def shown_ratio(ratio: Ratio, quotient: Quotient) -> str:
    value = quotient.value
    return pgettext("change", "n/a") if value is None else shown(value, ratio.kind, ratio.unit)


def shown_ratio_change(change: RatioChange) -> str:
    """Return the change of a percentage in points, and that of another number in percent."""
    points = change.change
    if not change.ratio.is_percent or points is None or change.verdict == NOT_AVAILABLE:
        return shown_change(change)
    points = ROUNDING.quantize(Decimal(points), HUNDREDTH) or points
    sign = "+" if points > 0 else "" if points else "±"
    size = Decimal(points).copy_abs()
    # 1.5 is plural in English, and singular in French, as 0 is.
    plural = int(size) if size == int(size) or size > 2 else 0
    # Translators: percentage points, as in "+0.4 points".
    return ngettext("%(number)s point", "%(number)s points", plural) % {"number": sign + shown(points)}


def shown_operand(operand: Operand, number: Number | None, metrics: Metrics) -> str:
    metric = metrics.get(operand.slug)
    if operand.field == DISTINCT:
        return shown(number, UNIQUE, metric.unit if metric else "")
    # The total of a unique count is its number of events, which is no estimate.
    if operand.field == COUNT or metric is None or metric.kind == UNIQUE:
        return shown(number)
    return shown(number, metric.kind, metric.unit)


def shown_division(ratio: Ratio, quotient: Quotient, metrics: Metrics) -> str:
    """Return the numerator and the denominator, such as "24 ÷ 1,200"."""
    of = shown_operand(ratio.of, quotient.numerator, metrics)
    to = shown_operand(ratio.to, quotient.denominator, metrics)
    return f"{of} ÷ {to}"


def operand_title(operand: Operand, metrics: Metrics) -> str:
    """Return the name of a metric with the labels and the field that a ratio reads of it."""
    metric = metrics.get(operand.slug)
    said = [f"{name}={value}" for name, value in operand.labels]
    if operand.field == COUNT:
        said.append(pgettext("number", "events"))
    elif operand.field == DISTINCT:
        said.append(pgettext("number", "different"))
    elif operand.is_percentile:
        said.append(operand.field)
    if operand.days:
        # Translators: the days up to the last one of a period, as in "Active users (different, 30 days)".
        said.append(ngettext("%(number)s day", "%(number)s days", operand.days) % {"number": operand.days})
    name = metric.name if metric else operand.slug
    return f"{name} ({', '.join(said)})" if said else name


def better_of_ratio(ratio: Ratio, metrics: Metrics) -> str:
    """Return which change of a ratio is good news: "up", "down" or "neither".

    Its entry says it, or else its numerator does. Some labels of a metric of which more is better may be bad news, and
    the number of events says nothing about a timer or a gauge.
    """
    metric = metrics.get(ratio.of.slug)
    if ratio.said or metric is None:
        return ratio.said or NEITHER
    better = better_of(metric)
    if (ratio.of.field == COUNT and metric.kind != COUNTER) or (ratio.of.labels and better != DOWN):
        return NEITHER
    return better


def ratio_news(change: RatioChange, metrics: Metrics) -> str:
    """Return "up" if the change of a ratio is good news, "down" if it is bad, "" if it is neither."""
    return judged(change.verdict, better_of_ratio(change.ratio, metrics))
