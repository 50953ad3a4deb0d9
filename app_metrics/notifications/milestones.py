"""Milestones: announce when an all-time total reaches a number (`APP_METRICS_MILESTONES`).

The announcements follow from stored data, not from what an aggregation just did: a mark per metric holds the total of
the last announcement, and every milestone between the mark and the total was reached since. So a run that is killed at
any statement leaves the rest to the next one. A mark never falls, although a total may, if negative numbers are
recorded. A gauge's total has no meaning, and that of a unique count is its number of events, so their milestones are
ignored.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from ..conf import settings, time_zone
from ..core.calendar import aware
from ..core.formatting import moment_title, shown
from ..core.numbers import EXACT, Number, add, trimmed
from ..core.periods import LONGEST
from ..core.setting_rules import SettingError, SettingReader
from ..core.summary import GAUGE, UNIQUE
from ..models import HighWaterMark, Metric, Milestone, Total
from ..models.primary import primary
from ..signals import milestone_reached
from ..storage.transactions import retried
from .announcements import links_to, plan_notifications, send

SETTING = "APP_METRICS_MILESTONES"
RULE_EXAMPLE = '{"at": [1_000_000], "every": 1000, "recipients": ["team@example.com"]}'
EXAMPLE = '{"items_sold": [1_000_000]}'
KEYS = ("at", "every", "recipients")
UNSUITABLE = (GAUGE, UNIQUE)
# One jump of a total announces at most this many multiples of `every`, the latest ones: a number recorded by mistake
# must not create endless rows and mails.
MOST = 100


@dataclass(frozen=True, slots=True)
class MilestoneRule:
    """The milestones of one metric: single numbers, ascending, and all multiples of `every`."""

    at: tuple[Decimal, ...] = ()
    every: Decimal | None = None
    recipients: tuple[str, ...] = ()

    def between(self, mark: Decimal, total: Decimal) -> list[Decimal]:
        """Return the milestones above a mark, up to a total, ascending."""
        reached = {value for value in self.at if mark < value <= total}
        if self.every and total > 0:
            last = int(EXACT.divide_int(total, self.every))
            first = max(int(EXACT.divide_int(max(mark, Decimal(0)), self.every)), last - MOST) + 1
            reached.update(EXACT.multiply(self.every, Decimal(number)) for number in range(first, last + 1))
        return sorted(reached)


def compile_milestones(value: Any) -> tuple[dict[str, MilestoneRule], list[SettingError]]:
    """Return the good rules by slug, and the mistakes in the others."""
    reader = SettingReader("E018", SETTING)
    return reader.read_mapping(value, EXAMPLE, _compile), reader.errors


def _compile(entry: SettingReader, value: Any) -> MilestoneRule:
    entry.slug(entry.key)
    example = f"[1_000_000], or {RULE_EXAMPLE}"
    rule = {"at": value} if isinstance(value, (list, tuple)) else value
    entry.check_mapping(rule, example)
    entry.check_keys(rule, KEYS)
    if not rule.get("at") and "every" not in rule:
        raise entry.error("has no milestones", f"Write it like this: {example}.")
    number = partial(entry.number, is_good=lambda number: number > 0, wanted="a number above 0")
    at = entry.items("at", rule.get("at", ()), 'List numbers: "at": [1_000_000].')
    return MilestoneRule(
        tuple(sorted(number("at", each) for each in at)),
        number("every", rule["every"]) if "every" in rule else None,
        entry.recipients(rule.get("recipients", ())),
    )


def remember() -> None:
    """Store a mark for each metric that has milestones but no mark, so that its present total is not announced.

    Call it before items are aggregated.
    """
    slugs = _rules().keys()
    noted = primary(HighWaterMark.objects).filter(slug__in=slugs).values_list("slug", flat=True)
    new = sorted(slugs - set(noted))
    if new:
        totals = _totals(new)
        marks = [HighWaterMark(slug=slug, total=totals.get(slug, 0)) for slug in new]
        retried(partial(HighWaterMark.objects.bulk_create, marks, ignore_conflicts=True))


def raise_mark(slug: str, number: Number) -> None:
    """Raise the mark of a metric by a number that is added for the past, so that it is not announced.

    Call it in the transaction that adds the number.
    """
    marks = primary(HighWaterMark.objects).filter(slug=slug)
    # The first update only locks the row: SQLite cannot add exact decimals, so they are added here.
    if number > 0 and marks.update(total=F("total")):
        marks.update(total=add(marks.values_list("total", flat=True).get(), number))


def announce() -> None:
    """Store which milestones were reached, plan the mails about them, and send the signals not sent yet.

    Call it after every aggregation, even without items: a killed run may have left announcements to make.
    """
    rules = _rules()
    if not rules:
        return
    now = timezone.now()
    for metric, total in _grown(rules):
        retried(partial(_reach, rules[metric.slug], metric, total, now))
    milestones = list(primary(Milestone.objects).filter(announced=False).order_by("pk"))
    metrics = primary(Metric.objects).in_bulk({each.slug for each in milestones}, field_name="slug")
    for milestone in milestones:
        retried(partial(_send, milestone, metrics.get(milestone.slug)))


def _rules() -> dict[str, MilestoneRule]:
    """Return the valid rules; `check` reports the others."""
    return compile_milestones(settings.APP_METRICS_MILESTONES)[0]


def _totals(slugs: Iterable[str]) -> dict[str, Number]:
    """Return all-time totals by slug, added here because SQLite cannot add exact decimals."""
    totals: dict[str, Number] = {}
    years = primary(Total.objects).filter(metric__slug__in=slugs, period=LONGEST).values_list("metric__slug", "total")
    for slug, total in years.iterator():
        totals[slug] = add(totals.get(slug, 0), total)
    return totals


def _grown(slugs: Iterable[str]) -> Iterator[tuple[Metric, Decimal]]:
    """Yield the metrics whose totals exceed their marks, always in the same order."""
    marks = dict(primary(HighWaterMark.objects).filter(slug__in=slugs).values_list("slug", "total"))
    metrics = primary(Metric.objects).filter(slug__in=marks).exclude(kind__in=UNSUITABLE)
    totals = _totals(marks)
    for metric in sorted(metrics, key=lambda metric: metric.slug):
        total = Decimal(totals.get(metric.slug, 0))
        if total > marks[metric.slug]:
            yield metric, total


def _reach(rule: MilestoneRule, metric: Metric, total: Decimal, now: datetime) -> None:
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        marks = primary(HighWaterMark.objects).filter(slug=metric.slug)
        # This update only locks the row: others read the mark after this transaction.
        if not marks.update(total=F("total")):
            return
        mark = marks.values_list("total", flat=True).get()
        if total <= mark:
            return
        if reached := rule.between(mark, total):
            _note(rule, metric, reached, total, now)
        marks.update(total=total)


def _note(rule: MilestoneRule, metric: Metric, reached: list[Decimal], total: Decimal, now: datetime) -> None:
    # After a mark was deleted, the new one may lie below milestones that were reached before.
    known = set(primary(Milestone.objects).filter(slug=metric.slug).values_list("value", flat=True))
    reached = [value for value in reached if value not in known]
    Milestone.objects.bulk_create(
        Milestone(slug=metric.slug, value=value, total=total, reached_at=now) for value in reached
    )
    if rule.recipients:
        with translation.override(settings.LANGUAGE_CODE):
            plan_notifications(rule.recipients, [_mail(metric, value, total, now) for value in reached], now)


def _mail(metric: Metric, value: Decimal, total: Decimal, now: datetime) -> tuple[str, list[str]]:
    values: Mapping[str, str] = {
        "metric": metric.name,
        "value": shown(value, metric.kind, metric.unit),
        "total": shown(total, metric.kind, metric.unit),
        "moment": moment_title(aware(now).astimezone(time_zone())),
    }
    return _("Milestone reached: %(metric)s %(value)s") % values, [
        _("%(metric)s reached %(value)s.") % values,
        _("All-time total: %(total)s") % values,
        _("Detected: %(moment)s") % values,
        *links_to(metric.slug),
    ]


def _send(milestone: Milestone, metric: Metric | None) -> None:
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        won = Milestone.objects.filter(pk=milestone.pk, announced=False).update(announced=True)
        if won and metric is not None:  # None: the metric was deleted
            send(
                milestone_reached,
                "milestone_reached",
                Metric,
                metric=metric,
                milestone=trimmed(milestone.value),
                total=trimmed(milestone.total),
                moment=aware(milestone.reached_at),
            )
