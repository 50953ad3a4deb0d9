"""What an alert watches: the number of a metric, or a ratio."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ..contrib.news import better_of
from ..core.numbers import Number
from ..core.periods import Period
from ..core.summary import headline
from ..models import Metric
from ..ratios.changes import better_of_ratio
from ..ratios.declared import Ratio
from .alert_rules import AlertRule

# The number of the period that contains a moment; None if there is none.
Read = Callable[[Period, date], Number | None]


@dataclass(frozen=True, slots=True)
class Watched:
    """A number with the name, the kind and the unit to show, and the change of it that is good news.

    `metrics` are those that it is made of; `page` is the kind of its page on the dashboard, and `slug` its name there.
    """

    name: str
    kind: str
    unit: str
    better: str
    page: str
    slug: str
    metrics: Sequence[Metric]
    read: Read


def watched(rule: AlertRule, metrics: Mapping[str, Metric]) -> Watched:
    """Return what a rule watches; its metrics must exist."""
    if rule.ratio:
        return _of_ratio(rule.ratio, {slug: metrics[slug] for slug in rule.slugs})
    metric = metrics[rule.metric]

    def read(period: Period, moment: date) -> Number | None:
        return headline(metric.kind, metric.summary(period, moment, rule.labels))

    return Watched(
        metric.name, metric.kind, metric.unit, better_of(metric), "metric", metric.slug, [metric], read
    )  # fmt: skip


def _of_ratio(ratio: Ratio, metrics: Mapping[str, Metric]) -> Watched:
    known = list(metrics.values())

    def read(period: Period, moment: date) -> Number | None:
        return ratio.quotient(period, moment, known[0]._state.db).value

    better = better_of_ratio(ratio, metrics)
    return Watched(ratio.name, ratio.kind, ratio.unit, better, "ratio", ratio.slug, known, read)
