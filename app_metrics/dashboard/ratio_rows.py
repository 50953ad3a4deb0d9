"""The ratios on the dashboard's first page, in a constant number of queries."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ..core.calendar import start_of, today
from ..core.comparisons import whole
from ..core.periods import DAY, MONTH, WEEK, Piece
from ..ratios.changes import Metrics, RatioChange, metrics_of, new
from ..ratios.declared import Ratio
from ..ratios.quotients import Quotient, Quotients, quotients
from .overview import PICTURED_DAYS, YESTERDAY, Picture
from .so_far import EARLIER, FULL, WHOLE, Cut, spans_until


@dataclass(frozen=True, slots=True)
class RatioRow:
    """A ratio's numbers: today so far, yesterday, this week, this month, and the latest days that are over.

    `comparison` compares today so far with the full hours of the same weekday a week before, up to the same time.
    """

    ratio: Ratio
    metrics: Metrics
    today: Quotient
    yesterday: Quotient
    week: Quotient
    month: Quotient
    comparison: RatioChange
    picture: Picture


def ratio_rows(ratios: Sequence[Ratio], cut: Cut) -> list[RatioRow]:
    """Return a row for each ratio; one query for the metrics, and those of `quotients`."""
    if not ratios:
        return []
    day, until = today(), spans_until(cut)
    days = DAY.latest(DAY.previous(day), PICTURED_DAYS)
    spans: dict[Hashable, list[Piece]] = {
        YESTERDAY: whole(DAY, DAY.previous(day)),
        **{period: whole(period, start_of(period, day)) for period in (DAY, WEEK, MONTH)},
        **{name: until[name] for name in (FULL, WHOLE, EARLIER)},
        **{each: whole(DAY, each) for each in days},
    }
    metrics, found = metrics_of(ratios), quotients(ratios, spans)
    return [_row(ratio, metrics, cut, found, days) for ratio in ratios]


def _row(ratio: Ratio, metrics: Metrics, cut: Cut, found: Quotients, days: Sequence[Hashable]) -> RatioRow:
    def number(name: Hashable) -> Quotient:
        return found[ratio.slug, name]

    if cut.hours and not ratio.days and not _was_counted(ratio, number(WHOLE), number(EARLIER)):
        comparison = new(ratio, cut.day, number(DAY))
    else:
        # The day in which counting began is no base, and neither is one whose hours were pruned.
        is_comparable = number(FULL).denominator and _was_counted(ratio, number(EARLIER))
        comparison = RatioChange(ratio, cut.day if is_comparable else None, number(DAY), number(FULL))
    picture = [number(each).value for each in days]
    return RatioRow(
        ratio, metrics, number(DAY), number(YESTERDAY), number(WEEK), number(MONTH), comparison, picture
    )  # fmt: skip


def _was_counted(ratio: Ratio, *parts: Quotient) -> bool:
    """Return whether both metrics were counted in any of some spans.

    Some labels of a metric, such as those of errors, may have been rare while it was counted.
    """
    was_numerator = ratio.of.slug == ratio.to.slug or any(part.numerator for part in parts)
    return was_numerator and any(part.denominator for part in parts)
