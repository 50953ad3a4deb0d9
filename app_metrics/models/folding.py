"""Summaries of many spans of many metrics at once: one statement, so that nothing is seen twice."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from django.db.models import CharField, F, SmallIntegerField, Value

from ..conf import first_weekday
from ..core.batch import Key
from ..core.periods import HOUR, YEAR, Period, Piece
from ..core.summary import Summary, merge
from .aggregates import are_exact, fetched, merged, summary_of
from .queries import COLUMNS, Sources, labelled, piece_of

# Names, and the pieces that each span consists of.
Spans = Mapping[Hashable, Iterable[Piece]]
# The names of the spans that hold a piece.
Holders = Mapping[Piece, list[Hashable]]
# The columns that tell summaries apart: metric, label set, period, first date, hour.
KEY = ("of", "text", "of_period", "day_of", "hour_of")


def fold(
    sources: Sources, spans: Spans, labels: Mapping[str, str] | None = None
) -> dict[tuple[str, str, Hashable], Summary]:
    """Return the summary of every span of every metric and label set of the sources, waiting items included.

    A span is a name and the pieces it consists of; the keys are slug, label set and name. Where nothing was recorded
    there is no key. One statement, however many metrics and spans there are.
    """
    return _folded(labelled(sources, labels), _holders(spans))


def fold_together(
    sources: Sources, spans: Spans, labels: Mapping[str, str] | None = None
) -> dict[tuple[str, Hashable], Summary]:
    """Return what `fold` does with the label sets of each metric added up; the keys are slug and name.

    The database adds them up where it can do so exactly.
    """
    return across_labels(_folded(labelled(sources, labels), _holders(spans), together=True))


def across_labels(found: Mapping[tuple[str, str, Hashable], Summary]) -> dict[tuple[str, Hashable], Summary]:
    """Return what `fold` found with the label sets of each metric added up; the keys are slug and name."""
    added: dict[tuple[str, Hashable], Summary] = {}
    for (slug, _, name), summary in found.items():
        added[slug, name] = merge(added[slug, name], summary) if (slug, name) in added else summary
    return added


def all_time(sources: Sources) -> dict[tuple[str, str], Summary]:
    """Return the summaries of all that was ever recorded, waiting items included, by slug and label set; one query.

    They are made of years, which are never pruned.
    """
    totals, items, held = sources
    years = totals.filter(period=YEAR).annotate(of=F("metric__slug"))
    waiting = _summaries(items.annotate(of=F("slug")), ("of", "labels"))
    rows = waiting.union(years.values_list("of", "labels", *COLUMNS[1:]), all=True)
    rows = held.marked(rows, 2)
    found: dict[tuple[str, str], Summary] = {}
    for slug, text, *values in held.added(fetched(rows, items), lambda key: (key.slug, key.labels)):
        key, summary = (slug, text), summary_of(values)
        found[key] = merge(found[key], summary) if key in found else summary
    return found


def _holders(spans: Spans) -> Holders:
    holders: dict[Piece, list[Hashable]] = defaultdict(list)
    for name, pieces in spans.items():
        for piece in pieces:
            holders[piece].append(name)
    return holders


def _folded(sources: Sources, holders: Holders, *, together: bool = False) -> dict[tuple[str, str, Hashable], Summary]:
    """Return summaries by slug, label set and name; where the label sets are added up, that is empty."""
    apart = not (together and are_exact(sources.totals))
    folded: dict[tuple[str, str, Hashable], Summary] = {}
    if not holders:
        return folded
    periods = {period for period, _, _ in holders}
    week = first_weekday()
    rows = sources.held.added(fetched(_rows(sources, holders, apart), sources.totals), _waiting_key)
    for slug, text, period, day, hour, *values in rows:
        summary = summary_of(values)
        # What waits belongs to a piece of every period.
        for piece in [(period, day, hour)] if period else [piece_of(each, day, hour, week) for each in periods]:
            for name in holders.get(piece, ()):
                key = (slug, "" if together else text, name)
                folded[key] = merge(folded[key], summary) if key in folded else summary
    return folded


def _rows(sources: Sources, holders: Holders, apart: bool) -> Any:
    """Return KEY and the summary of all that may belong to a piece; what waits has no period."""
    totals, items, held = sources
    first = min(start for _, start, _ in holders)
    last = max(period.next(start) for period, start, _ in holders)
    waiting = items.filter(day__gte=first, day__lt=last).annotate(
        of=F("slug"), text=F("labels") if apart else _text(""), of_period=_text(""), day_of=F("day"), hour_of=F("hour")
    )
    totals = totals.annotate(
        of=F("metric__slug"), text=F("labels") if apart else _text(""), of_period=F("period"), day_of=F("start")
    )
    # Totals are one by label set already.
    stored = [
        part.values_list(*KEY, *COLUMNS[1:]) if apart else merged(part, *KEY) for part in _parts(totals, holders, apart)
    ]
    rows = _summaries(waiting, KEY).union(*stored, all=True)
    return held.marked(rows, len(KEY))


def _waiting_key(key: Key) -> tuple[str, str, str, date, int]:
    return key.slug, key.labels, "", key.day, key.hour


def _parts(totals: Any, holders: Holders, apart: bool) -> Iterator[Any]:
    """Yield the totals of the pieces, period by period."""
    starts: dict[Period, set[date]] = defaultdict(set)
    for period, start, _ in holders:
        starts[period].add(start)
    for period, days in starts.items():
        part = totals.filter(period=period, **_within(period, days))
        hours = _hours(holders) if period == HOUR and not apart else None
        if hours is None:
            yield part.annotate(hour_of=F("hour"))
        else:
            # All hours of a date that are wanted belong to the same spans: they go by the name of the first one.
            yield part.filter(hour__lt=hours).annotate(hour_of=Value(0, SmallIntegerField()))


def _within(period: Period, days: set[date]) -> dict[str, Any]:
    """Return the filter of some dates; a range, where they are one, is a single walk along the index."""
    first, last = min(days), max(days)
    if days.issuperset(period.starts_between(first, last, first.isoweekday())):
        return {"start__range": (first, last)}
    return {"start__in": days}


def _hours(holders: Holders) -> int | None:
    """Return the number of first hours that is wanted of every date, by the same spans; None where dates differ."""
    by_date: dict[date, dict[int, list[Hashable]]] = defaultdict(dict)
    for (period, start, hour), names in holders.items():
        if period == HOUR:
            by_date[start][hour] = names
    counts = {len(hours) for hours in by_date.values()}
    alike = all(
        hours.keys() == set(range(len(hours))) and all(names == hours[0] for names in hours.values())
        for hours in by_date.values()
    )
    return counts.pop() if alike and len(counts) == 1 else None


def _summaries(items: Any, by: Sequence[str]) -> Any:
    """Return waiting items by some columns; merged where the database can do so, as there may be very many."""
    return merged(items, *by) if are_exact(items) else items.values_list(*by, *COLUMNS[1:])


def _text(value: str) -> Value:
    return Value(value, CharField())
