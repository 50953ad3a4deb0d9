"""What an alert watches: the number of a metric, a percentile, or a ratio."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from ..contrib.news import better_of
from ..core.numbers import Number, trimmed
from ..core.periods import Period
from ..core.summary import MEASURED, UNIQUE, headline, percentile
from ..models import Metric, queries
from ..ratios.changes import better_of_ratio
from ..ratios.declared import Ratio
from .alert_rules import AlertRule

Labels = Mapping[str, str] | None
# The number of the period that contains a moment; None if there is none. It may raise NotYet.
Read = Callable[[Period, date], Number | None]


class NotYet(Exception):
    """An alert cannot be evaluated yet; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A number with the name, the kind and the unit to show, and the change of it that is good news.

    `metrics` are those that it is made of; `page` is the kind of its page on the dashboard, and `slug` its name there.
    `percent` is that of a percentile.
    """

    name: str
    kind: str
    unit: str
    better: str
    page: str
    slug: str
    metrics: Sequence[Metric]
    read: Read
    percent: Decimal | None = None

    @property
    def title(self) -> str:
        if self.percent is None:
            return self.name
        percentile = "p" + number_format(trimmed(self.percent), use_l10n=True)
        # Translators: a percentile, as in "p95 of checkout_seconds".
        return _("%(percentile)s of %(metric)s") % {"percentile": percentile, "metric": self.name}


def watched(rule: AlertRule, metrics: Mapping[str, Metric]) -> Watched:
    """Return what a rule watches; its metrics must exist. Raises ValueError for a percentile of a kind without any."""
    if rule.ratio:
        return _of_ratio(rule.ratio, {slug: metrics[slug] for slug in rule.slugs})
    metric = metrics[rule.metric]
    if rule.percentile is None:
        read = partial(_read_number, metric, rule.labels)
    else:
        read = partial(_read_percentile, metric, rule.labels, _measured(metric, rule.percentile))
    better = better_of(metric)
    return Watched(
        metric.name, metric.kind, metric.unit, better, "metric", metric.slug, [metric], read, rule.percentile
    )  # fmt: skip


def _measured(metric: Metric, percent: Decimal) -> Decimal:
    if metric.kind not in MEASURED:
        raise ValueError(
            f"{metric.slug!r} is a {metric.kind}, and only timers and distributions have percentiles: remove "
            "'percentile', or record it as one of these."
        )
    return percent


def _read_number(metric: Metric, labels: Labels, period: Period, moment: date) -> Number | None:
    summary = metric.summary(period, moment, labels)
    number = headline(metric.kind, summary)
    if summary and metric.kind == UNIQUE and number is None:
        raise NotYet(f"The unique count of the latest {period} is unknown: a sketch of it is missing or damaged.")
    return number


def _read_percentile(metric: Metric, labels: Labels, percent: Decimal, period: Period, moment: date) -> Number | None:
    summary = queries.summary(queries.QuerySources.of([metric]), period, moment, labels, sketches=True)
    found = percentile(summary, percent) if summary else None
    if summary and found is None:
        raise NotYet(
            f"The latest {period} has numbers without percentiles: they were recorded before there were any, or as "
            "another kind, or their histogram is damaged."
        )
    return found


def _of_ratio(ratio: Ratio, metrics: Mapping[str, Metric]) -> Watched:
    known = list(metrics.values())

    def read(period: Period, moment: date) -> Number | None:
        return ratio.quotient(period, moment, known[0]._state.db).value

    better = better_of_ratio(ratio, metrics)
    return Watched(ratio.name, ratio.kind, ratio.unit, better, "ratio", ratio.slug, known, read)
