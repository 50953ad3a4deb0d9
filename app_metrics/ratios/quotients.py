"""Read ratios: the numerator and the denominator of each period, pending items included."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple, Protocol

from ..core.labels import readable_labels
from ..core.numbers import QUANTUM, ROUNDING, Number, add, trimmed
from ..core.summary import Summary
from ..models.queries import QuerySources, Spans, fold, fold_together
from .operands import Operand


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
    """The numerator and the denominator of a period; `factor` is 100 if the value is a percentage, or else 1."""

    numerator: Number
    denominator: Number
    factor: int = 1

    @property
    def value(self) -> Decimal | None:
        """The ratio, rounded to nine decimal places; None if the denominator is zero."""
        if not self.denominator:
            return None
        numerator = ROUNDING.multiply(Decimal(self.numerator), Decimal(self.factor))
        return trimmed(ROUNDING.quantize(ROUNDING.divide(numerator, Decimal(self.denominator)), QUANTUM))


Quotients = Mapping[tuple[str, Hashable], Quotient]


def quotients(ratios: Collection[Divided], spans: Spans, using: str | None = None) -> Quotients:
    """Return a quotient for each ratio and span, by the ratio's slug and the span's name.

    One query, no matter how many ratios and spans there are. If a ratio has labels, another one reads the metrics that
    it names label set by label set, and a third one is needed if items with labels are pending.
    """
    operands = {operand for ratio in ratios for operand in (ratio.of, ratio.to)}
    sums = _sums(operands, spans, using)
    return {
        (ratio.slug, name): Quotient(sums.get((ratio.of, name), 0), sums.get((ratio.to, name), 0), ratio.factor)
        for ratio in ratios
        for name in spans
    }


def _sums(operands: Iterable[Operand], spans: Spans, using: str | None) -> dict[tuple[Operand, Hashable], Number]:
    of_slug: dict[str, list[Operand]] = defaultdict(list)
    for operand in operands:
        of_slug[operand.slug].append(operand)
    sums: dict[tuple[Operand, Hashable], Number] = {}
    for slug, labels, name, summary in _summaries(of_slug, spans, using):
        for operand in of_slug[slug]:
            if operand.covers(labels):
                sums[operand, name] = add(sums.get((operand, name), 0), getattr(summary, operand.field))
    return sums


def _summaries(
    of_slug: Mapping[str, Iterable[Operand]], spans: Spans, using: str | None
) -> Iterator[tuple[str, Mapping[str, str], Hashable, Summary]]:
    """Yield slug, labels, span and summary. Each slug is read in one statement, so that no part exceeds its whole."""
    apart = {slug for slug, operands in of_slug.items() if any(operand.labels for operand in operands)}
    if together := of_slug.keys() - apart:
        for (slug, name), summary in fold_together(QuerySources.of_slugs(together, using), spans).items():
            yield slug, {}, name, summary
    if apart:
        for (slug, text, name), summary in fold(QuerySources.of_slugs(apart, using), spans).items():
            yield slug, readable_labels(text), name, summary
