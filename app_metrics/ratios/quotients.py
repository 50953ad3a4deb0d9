"""Read ratios: the numerator and the denominator of each period, pending items included."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple, Protocol

from ..core.labels import readable_labels
from ..core.numbers import QUANTUM, ROUNDING, Number, trimmed
from ..core.summary import Summary, merge_into
from ..models.queries import QuerySources, Spans, fold, fold_together
from .operands import Operand
from .windows import Windows, days_until, last_day


class Divided(Protocol):
    """What is read of a ratio."""

    @property
    def slug(self) -> str: ...
    @property
    def of(self) -> Operand: ...
    @property
    def to(self) -> Operand: ...
    @property
    def factor(self) -> int: ...


class Quotient(NamedTuple):
    """The numerator and the denominator of a period; `factor` is 100 if the value is a percentage, or else 1.

    Either is None if it is unknown, as a percentile may be.
    """

    numerator: Number | None
    denominator: Number | None
    factor: int = 1

    @property
    def value(self) -> Decimal | None:
        """The ratio, rounded to nine decimal places; None if the denominator is zero, or one of them is unknown."""
        if self.numerator is None or not self.denominator:
            return None
        numerator = ROUNDING.multiply(Decimal(self.numerator), Decimal(self.factor))
        return trimmed(ROUNDING.quantize(ROUNDING.divide(numerator, Decimal(self.denominator)), QUANTUM))


Quotients = Mapping[tuple[str, Hashable], Quotient]


def quotients(ratios: Collection[Divided], spans: Spans, using: str | None = None) -> Quotients:
    """Return a quotient for each ratio and span, by the ratio's slug and the span's name.

    One query, no matter how many ratios and spans there are. If a ratio has labels, another one reads the metrics that
    it names label set by label set, and a third one is needed if items with labels are pending. Metrics of percentiles,
    and those of operands with days, are read apart, by the same number of queries.
    """
    operands = {operand for ratio in ratios for operand in (ratio.of, ratio.to)}
    with_days = {operand.slug for operand in operands if operand.days}
    lasts = {name: last_day(pieces) for name, pieces in spans.items()} if with_days else {}
    found = _merged([each for each in operands if each.slug not in with_days], spans, using)
    found |= _over_days([each for each in operands if each.slug in with_days], spans, lasts, using)

    def number(operand: Operand, name: Hashable) -> Number | None:
        if operand.days and lasts[name] is None:
            return None
        return operand.read(found.get((operand, name)))

    return {
        (ratio.slug, name): Quotient(number(ratio.of, name), number(ratio.to, name), ratio.factor)
        for ratio in ratios
        for name in spans
    }


def _over_days(
    operands: Collection[Operand], spans: Spans, lasts: Mapping[Hashable, date | None], using: str | None
) -> dict[tuple[Operand, Hashable], Summary]:
    """Return the same as `_merged`, but those with days are merged over the days that end with the last one of a span.

    `lasts` has the last day of each span, None for those without.
    """
    until = sorted({last for last in lasts.values() if last})
    days = days_until(until, max((operand.days for operand in operands), default=0))
    own = spans if any(not operand.days for operand in operands) else {}
    read = _merged(operands, {**own, **{day: [day] for day in days}}, using)
    found = {key: summary for key, summary in read.items() if not key[0].days}
    for operand in operands:
        if operand.days:
            by_day = {day[1]: read.get((operand, day)) for day in days}
            windows = Windows(by_day, operand.days)
            by_last = {last: windows.until(last) for last in until}
            found |= {(operand, name): whole for name, last in lasts.items() if last and (whole := by_last[last])}
    return found


def _merged(operands: Iterable[Operand], spans: Spans, using: str | None) -> dict[tuple[Operand, Hashable], Summary]:
    of_slug: dict[str, list[Operand]] = defaultdict(list)
    for operand in operands:
        of_slug[operand.slug].append(operand)
    merged: dict[tuple[Operand, Hashable], Summary] = {}
    for slug, labels, name, summary in _summaries(of_slug, spans, using):
        for operand in of_slug[slug]:
            if operand.covers(labels):
                merge_into(merged, (operand, name), summary)
    return merged


def _summaries(
    of_slug: Mapping[str, Iterable[Operand]], spans: Spans, using: str | None
) -> Iterator[tuple[str, Mapping[str, str], Hashable, Summary]]:
    """Yield slug, labels, span and summary. Each slug is read in one statement, so that no part exceeds its whole.

    Slugs without percentiles are read apart from those with some, whose label sets no database merges.
    """
    apart = {slug for slug, operands in of_slug.items() if any(operand.labels for operand in operands)}
    measured = {slug for slug, operands in of_slug.items() if any(operand.is_percentile for operand in operands)}
    for sketches, slugs in ((False, of_slug.keys() - measured), (True, measured)):
        if together := slugs - apart:
            sources = QuerySources.of_slugs(together, using)
            for (slug, name), summary in fold_together(sources, spans, sketches=sketches).items():
                yield slug, {}, name, summary
        if slugs & apart:
            sources = QuerySources.of_slugs(slugs & apart, using)
            for (slug, text, name), summary in fold(sources, spans, sketches=sketches).items():
                yield slug, readable_labels(text), name, summary
