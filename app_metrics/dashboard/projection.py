"""The number that the running period of a counter is heading for, if it goes on as such periods usually do."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from ..core.calendar import Moment, moment_of, start_of, starts_between
from ..core.numbers import ROUNDING, Number
from ..core.periods import DAY, HOUR, MONTH, WEEK, YEAR, Period, Piece, elapsed_pieces, same_part
from ..core.summary import COUNTER, Summary, merge_all
from ..models.queries import QuerySources, fold_together
from .charts import NOW, Chart
from .metric_facts import Facts

# How many earlier periods say what is usual. An hour has no parts that are stored.
LOOKED_AT = {DAY: 8, WEEK: 8, MONTH: 12, YEAR: 8}
# With fewer periods, or as long as a smaller share of them had come in, a single event would change the number a lot.
FEWEST = 4
SMALLEST_SHARE = Decimal("0.1")
# Digits of the number; more would claim to be exact.
DIGITS = 3

Spans = dict[Hashable, list[Piece]]
ELAPSED, REST, WHOLE, SO_FAR = "elapsed", "rest", "whole", "so far"


class Part(NamedTuple):
    """The sum of the elapsed part of an earlier period, and that of the whole period."""

    elapsed: Number
    whole: Number


def with_projection(chart: Chart, facts: Facts) -> Chart:
    """Return a chart with the projected number of its running period; one query if it can have one."""
    period = chart.selection.period
    if not _may_have_one(chart) or chart.since is None:
        return chart
    moment = _moment(period)
    start = start_of(period, moment.today)
    bases = [base for base in _bases(period, start) if base > chart.since]
    spans: Spans = {(SO_FAR, start): elapsed_pieces(start, moment.end, moment.hours)}
    for base in bases:
        spans |= _spans(period, start, moment, base)
    if len(bases) < FEWEST or not facts.can_read(sum(map(len, spans.values()))):
        return chart
    found = {name: summary for (_, name), summary in fold_together(QuerySources.of([chart.metric]), spans).items()}
    number = _projected(found.get((SO_FAR, start)), _parts(found, bases))
    return replace(chart, projected=number if _is_more(number, chart) else None)


def _may_have_one(chart: Chart) -> bool:
    is_whole = chart.metric.kind == COUNTER and not (chart.selection.split or chart.selection.where)
    return is_whole and chart.is_running and chart.selection.period in LOOKED_AT


def _moment(period: Period) -> Moment:
    """Return how far the running period is: in full hours for a day, else in full days."""
    moment = moment_of(None)
    return moment if period == DAY else moment._replace(hours=0)


def _bases(period: Period, start: date) -> list[date]:
    """Return the earlier periods that resemble the running one: of days, the same weekday."""
    step = 7 if period == DAY else 1
    return [period.shift(start, -step * number) for number in range(1, LOOKED_AT[period] + 1)]


def _spans(period: Period, start: date, moment: Moment, base: date) -> Spans:
    """Return the part of an earlier period that is as long as the elapsed one, the rest of it, and the whole."""
    end, hours = same_part(period, start, moment.end, moment.hours, base)
    rest = elapsed_pieces(end, period.next(base), 0)
    if period == DAY:
        rest = [(HOUR, *each) for each in starts_between(HOUR, base, base) if (end, hours) <= each]
    return {(ELAPSED, base): elapsed_pieces(base, end, hours), (REST, base): rest, (WHOLE, base): [(period, base, 0)]}


def _parts(found: Mapping[Any, Summary], bases: list[date]) -> list[Part]:
    """Return the parts of the periods in which something was counted and whose hours or days are all stored."""
    parts = []
    for base in bases:
        elapsed, rest, whole = (found.get((name, base)) for name in (ELAPSED, REST, WHOLE))
        stored = merge_all(each for each in (elapsed, rest) if each)
        if whole and stored and stored.total == whole.total > 0:
            parts.append(Part(elapsed.total if elapsed else 0, whole.total))
    return parts


def _projected(so_far: Summary | None, parts: list[Part]) -> Number | None:
    whole = sum(part.whole for part in parts)
    if so_far is None or len(parts) < FEWEST:
        return None
    share = ROUNDING.divide(Decimal(sum(part.elapsed for part in parts)), Decimal(whole))
    if not SMALLEST_SHARE <= share <= 1:
        return None
    number = ROUNDING.divide(Decimal(so_far.total), share)
    exponent = number.adjusted() - DIGITS + 1
    if so_far.total == int(so_far.total):
        exponent = max(0, exponent)
    return ROUNDING.quantize(number, Decimal(1).scaleb(exponent))


def _is_more(number: Number | None, chart: Chart) -> bool:
    """Return whether a number is more than has been counted already."""
    numbers = next(column.numbers for column in chart.columns if column.role == NOW)
    return number is not None and number > (numbers[-1] or 0)
