"""The numbers of one metric over a range, as columns of a table; most columns are drawn as a curve, too."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext, pgettext

from ..core.calendar import moment_of, starts_at, today
from ..core.comparisons import Change, Comparison
from ..core.formatting import have_cents
from ..core.histogram import Histogram
from ..core.numbers import Number
from ..core.periods import Period, Piece, Start
from ..core.summary import COUNTER, GAUGE, MEASURED, UNIQUE, Summary, headline, merge_all, whole_histogram
from ..models import Metric
from ..models.percentiles import SHOWN_PERCENTS, SPLIT_PERCENT, percentiles_of
from ..models.queries import QuerySources, fold_together
from ..models.splitting import MOST_VALUES, Split, merged, ranked, split
from .date_range import Selection
from .marks import Mark, marks_of

# How a value without characters is written.
EMPTY = '""'

# The roles of a column: the metric's number, the number one range earlier, a percentile, the lowest and highest number,
# how often the metric was recorded, the number of one value of a label, that of all other values, that of the overflow
# series, the percentile of the column before, and a number that a ratio divides.
NOW, PREVIOUS, PERCENTILE, MINIMUM, MAXIMUM, COUNT, VALUE, OTHER, OVERFLOW, BESIDE, PART = (
    "now", "previous", "percentile", "minimum", "maximum", "count", "value", "other", "overflow", "beside", "part",
)  # fmt: skip
# Columns that have no curve.
UNDRAWN = (COUNT, BESIDE, PART)


class Column(NamedTuple):
    """One number for each period, None if nothing was recorded; pages show `title`, files `key`.

    A column that is apart may hold what the chart is not about, so it is not drawn.
    """

    role: str
    key: str
    title: str
    numbers: Sequence[Number | None]
    is_apart: bool = False

    @property
    def is_drawn(self) -> bool:
        return not self.is_apart and self.role not in UNDRAWN and any(number is not None for number in self.numbers)


@dataclass(frozen=True, slots=True)
class Chart:
    """The numbers of a metric over a selection, and over the range of the same length before it.

    `starts` and `previous` hold the starts of the periods of both ranges. `is_running` is True if the last period is
    not over yet. `whole` is the summary of the range. `comparison` compares the finished periods with the same number
    of periods of the previous range; it is None until one is finished. `since` is the date of the first total, if
    there is one. `marks` holds the annotations. `has_cents` is True if any of the numbers is shown with cents, so that
    all of them are. `projected` is the number that the running period is heading for; it was not recorded, so only the
    drawing shows it. `histograms` holds the histogram of each period of a timer or distribution, None if it lacks some
    numbers; it is empty if no histograms were read.
    """

    metric: Metric
    selection: Selection
    starts: Sequence[date | datetime]
    previous: Sequence[date | datetime]
    columns: Sequence[Column]
    is_running: bool
    whole: Summary | None
    comparison: Comparison | None
    since: date | None = None
    marks: Sequence[Mark] = ()
    has_cents: bool = False
    projected: Number | None = None
    histograms: Sequence[Histogram | None] = ()

    @property
    def drawn(self) -> list[Column]:
        """The columns that have a curve: percentiles instead of the extremes, which would flatten them."""
        drawn = [column for column in self.columns if column.is_drawn]
        has_percentiles = any(column.role == PERCENTILE for column in drawn)
        return [column for column in drawn if not (has_percentiles and column.role in (MINIMUM, MAXIMUM))]

    def lacks_base(self, change: Change) -> bool:
        """Return whether counting began within or after the period that a change refers to."""
        return change.start is None or bool(self.since and change.start < self.since)

    @property
    def is_empty(self) -> bool:
        numbers = (number for column in self.columns for number in column.numbers)
        return self.whole is None and not any(numbers)


# Summaries by the index of their period in the range.
Found = Mapping[int, Summary]
# The same for each value of a label; None stands for label sets without it.
Values = Mapping[str | None, Found]


def build_chart(
    metric: Metric, selection: Selection, since: date | None = None, *, with_histograms: bool = True
) -> Chart:
    """Return the chart of a metric; two queries, or three if it is split and items with labels are pending.

    With a filter, there are at most three more.

    Periods that were over before `since`, the date counting began, have None as their number instead of zero. Without
    histograms, which take long to read if there are very many, percentiles are unknown.
    """
    sketches = with_histograms and metric.kind in MEASURED
    starts = _begun(selection.starts())
    previous = selection.previous()[: len(starts)]
    now, then, columns = _read(metric, selection, starts, previous, sketches)
    if since:
        of_role = {PREVIOUS: previous}
        columns = [_counted(each, selection.period, of_role.get(each.role, starts), since) for each in columns]
    return Chart(
        metric,
        selection,
        [starts_at(selection.period, *start) for start in starts],
        [starts_at(selection.period, *start) for start in previous],
        columns,
        _over(selection, starts) < len(starts),
        merge_all(now.values()),
        _comparison(metric, selection, starts, previous, now, then, since),
        since,
        marks_of(metric, selection, starts),
        have_cents(_numbers(columns), metric.kind, metric.unit),
        histograms=_histograms(now, len(starts)) if sketches else (),
    )


def _numbers(columns: Iterable[Column]) -> Iterator[Number | None]:
    return (number for column in columns if column.role != COUNT for number in column.numbers)


def _read(
    metric: Metric, selection: Selection, starts: Sequence[Start], previous: Sequence[Start], sketches: bool
) -> tuple[Found, Found, list[Column]]:
    """Return the summaries of the range, those of the previous range, and the columns."""
    sources, length = QuerySources.of([metric]), len(starts)
    spans = _spans(selection.period, NOW, starts) | _spans(selection.period, PREVIOUS, previous)
    if not (selection.split or selection.where):
        together = {name: each for (_, name), each in fold_together(sources, spans, sketches=sketches).items()}
        groups, overflow = Split({}, {})
    else:
        groups, overflow = split(sources, spans, selection.split or None, selection.where, sketches=sketches)
        together = merged([*groups.values(), *([] if selection.where else [overflow])])
    now, then = _of(together, NOW), _of(together, PREVIOUS)
    if selection.split:
        columns = _split(metric, {value: _of(group, NOW) for value, group in groups.items()}, length)
    else:
        columns = _columns(metric, now, then, length, selection.previous_title(previous))
    if beyond := _of(overflow, NOW):
        column = _headlines(metric, OVERFLOW, "(overflow)", gettext("Overflow"), beyond, length)
        column = column._replace(is_apart=bool(selection.where))
        columns += _with_percentile(metric, column, beyond, length) if selection.split else [column]
    return now, then, columns


def _spans(period: Period, role: str, starts: Iterable[Start]) -> dict[Hashable, list[Piece]]:
    return {(role, index): [(period, *start)] for index, start in enumerate(starts)}


def _begun(starts: Iterable[Start]) -> list[Start]:
    """Return the periods that have begun."""
    moment = moment_of(None)
    return [start for start in starts if start <= (moment.today, moment.hours)]


def _counted(column: Column, period: Period, starts: Sequence[Start], since: date) -> Column:
    """Return a column with None for the periods that were over before counting began."""
    numbers = [
        number if period.next(start) > since else None
        for number, (start, _) in zip(column.numbers, starts, strict=True)
    ]
    return column._replace(numbers=numbers)


def _of(found: Mapping[Any, Summary], role: str) -> dict[int, Summary]:
    return {index: summary for (each, index), summary in found.items() if each == role}


def _comparison(
    metric: Metric,
    selection: Selection,
    starts: Sequence[Start],
    previous: Sequence[Start],
    now: Found,
    then: Found,
    since: date | None,
) -> Comparison | None:
    """Compare the finished periods with as many of the previous range; an hour is finished when its day is."""
    over = _over(selection, starts)
    if not over:
        return None
    base = previous[0][0]
    current, before = (merge_all(each[index] for index in range(over) if index in each) for each in (now, then))
    # A range that was counted only partly is no base. If it was not counted at all, the metric is new.
    is_part = since and base < since and before
    return Comparison(metric.kind, None if is_part else base, current, before)


def _over(selection: Selection, starts: Sequence[Start]) -> int:
    """Return how many periods are over; an hour counts as over when its day is."""
    return sum(selection.period.next(start) <= today() for start, _ in starts)


def _columns(metric: Metric, now: Found, then: Found, length: int, before: str) -> list[Column]:
    titles = {COUNTER: gettext("Total"), GAUGE: gettext("Last value"), UNIQUE: pgettext("number", "Different")}
    title = titles.get(metric.kind) or pgettext("number", "Mean")
    columns = [_headlines(metric, NOW, "value", title, now, length)]
    if metric.kind in MEASURED:
        columns += _percentiles(now, length)
    if metric.kind not in (COUNTER, UNIQUE):
        columns.append(_parts(MINIMUM, gettext("Lowest"), now, length))
        columns.append(_parts(MAXIMUM, gettext("Highest"), now, length))
    columns.append(_parts(COUNT, gettext("Events"), now, length))
    columns.append(_headlines(metric, PREVIOUS, "previous", before, then, length))
    return columns


def _headlines(metric: Metric, role: str, key: str, title: str, found: Found, length: int) -> Column:
    return Column(role, key, title, [headline(metric.kind, found.get(index)) for index in range(length)])


def _percentiles(found: Found, length: int) -> list[Column]:
    known = [percentiles_of(found.get(index), SHOWN_PERCENTS) for index in range(length)]
    names = [(percent, f"p{percent}") for percent in SHOWN_PERCENTS]
    return [Column(PERCENTILE, name, name, [each[percent] for each in known]) for percent, name in names]


def _histograms(found: Found, length: int) -> list[Histogram | None]:
    return [whole_histogram(found[index]) if index in found else None for index in range(length)]


def _parts(role: str, title: str, found: Found, length: int) -> Column:
    numbers = [getattr(found[index], role) if index in found else None for index in range(length)]
    return Column(role, role, title, numbers)


def _split(metric: Metric, by_value: Values, length: int) -> list[Column]:
    """Return a column for each of the largest values, and one for all others together."""
    values = ranked(metric.kind, by_value)
    found = [(_value(metric, value, by_value[value], length), by_value[value]) for value in values[:MOST_VALUES]]
    if rest := merged(by_value[value] for value in values[MOST_VALUES:]):
        found.append((_headlines(metric, OTHER, "(other)", gettext("Other"), rest, length), rest))
    return [each for column, summaries in found for each in _with_percentile(metric, column, summaries, length)]


def _with_percentile(metric: Metric, column: Column, found: Found, length: int) -> list[Column]:
    """Return a column of a timer or distribution with one of its percentiles, and that of another kind alone."""
    if metric.kind not in MEASURED:
        return [column]
    known = [percentiles_of(found.get(index), [SPLIT_PERCENT])[SPLIT_PERCENT] for index in range(length)]
    key = column.title if column.role == VALUE else column.key
    return [column, Column(BESIDE, f"{key} p{SPLIT_PERCENT}", f"{column.title} p{SPLIT_PERCENT}", known)]


def _value(metric: Metric, value: str | None, found: Found, length: int) -> Column:
    if value is None:
        return _headlines(metric, VALUE, "", gettext("(none)"), found, length)
    return _headlines(metric, VALUE, value or EMPTY, value or EMPTY, found, length)
