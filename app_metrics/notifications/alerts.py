"""Alerts: what is told when a number is not as it should be (`APP_METRICS_ALERTS`).

A rule looks at the latest closed period in the metrics time zone, by the number that stands for its summary. Only a
change of state is told: that an alert fired, or that it recovered. Within a rule's quiet time nothing more is told;
what still differs after it is told then.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from django.db import DatabaseError, connections, transaction
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..conf import settings, time_zone
from ..core.calendar import latest_closed, locate, starts_at
from ..core.formatting import shown
from ..core.numbers import QUANTUM, Number
from ..core.periods import HOUR, Period, Start, bucket, hour_start, hours_in
from ..core.plain_text import one_line
from ..core.summary import headline
from ..models import Alert, Metric
from ..models.alerts import FIRED, OK
from ..signals import alert_fired, alert_recovered
from ..storage.transactions import retried
from .alert_rules import ABOVE, BELOW, CHANGE, AlertRule, compile_alerts
from .notices import plan_notices, send

__all__ = ["AlertCheck", "check_alerts", "compile_alerts"]

# How many weeks before a base is the mean of.
WEEKS = 4

_MEAN = Context(prec=100)

logger = logging.getLogger("app_metrics")


@dataclass(slots=True)
class AlertCheck:
    """What one evaluation did: names of rules, the alerts of which a change was told, and errors by name."""

    evaluated: list[str] = field(default_factory=list)
    fired: list[Alert] = field(default_factory=list)
    recovered: list[Alert] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Finding(NamedTuple):
    """What a rule compared, and whether it fires."""

    start: date | datetime
    value: Number | None
    base: Fraction | None
    fires: bool | None


def check_alerts(now: datetime | None = None) -> AlertCheck:
    """Evaluate all alerts at an aware moment (default: now), and tell which fired and which recovered.

    It may run at any time and in several processes at once: a change is told once. A rule that cannot be evaluated
    keeps its state, and the others go on.
    """
    now = timezone.now() if now is None else now
    done = AlertCheck()
    rules, mistakes = compile_alerts(settings.APP_METRICS_ALERTS)
    for mistake in mistakes:
        _fail(done, mistake.key, f"{mistake} {mistake.hint}", now)
    if not rules:
        return done
    alerts = _alerts(rules)
    metrics = Metric.objects.in_bulk({rule.metric for rule in rules.values()}, field_name="slug")
    for name, rule in rules.items():
        try:
            told = _check(rule, alerts[name], metrics, now)
        except Exception as error:
            _fail(done, name, str(error) or repr(error), now)
            continue
        done.evaluated.append(name)
        if told:
            (done.fired if told.state == FIRED else done.recovered).append(told)
    return done


def _alerts(names: Iterable[str]) -> dict[str, Alert]:
    """Return the stored states of alerts by name; one that is new begins as it should be."""
    known = Alert.objects.in_bulk(names, field_name="name")
    new = sorted(names - known.keys())
    if new:
        _retried(partial(Alert.objects.bulk_create, [Alert(name=name) for name in new], ignore_conflicts=True))
        known |= Alert.objects.in_bulk(new, field_name="name")
    return known


def _fail(done: AlertCheck, name: str, error: str, now: datetime) -> None:
    """Keep an error, on one line and without what databases refuse."""
    error = one_line(error)
    done.failed[name] = error
    logger.error("The alert %r could not be evaluated: %s", name, error)
    try:
        Alert.objects.filter(name=name).update(error=error, evaluated_at=now)
    except (DatabaseError, ValueError):  # a mistaken name may be one that the database refuses
        logger.exception("The error of the alert %r could not be stored", name)


def _retried(transact: Any) -> Any:
    return retried(connections[settings.APP_METRICS_DATABASE], transact)


def _check(rule: AlertRule, alert: Alert, metrics: Mapping[str, Metric], now: datetime) -> Alert | None:
    """Evaluate a rule and store its state; return the alert where a change was told."""
    metric = metrics.get(rule.metric)
    if metric is None:
        raise LookupError(f"Nothing was recorded yet as {rule.metric!r}.")
    found = _find(rule, metric, now)
    told: Alert | None = _retried(partial(_settle, rule, alert, metric, found, now))
    return told


def _find(rule: AlertRule, metric: Metric, now: datetime) -> Finding:
    start = _latest_closed(rule.period, now)
    value = _value(rule, metric, start)
    base = None
    if rule.test == CHANGE:
        before = [_value(rule, metric, each) for each in _weeks_before(rule.period, start)]
        recorded = [Fraction(each) for each in before if each is not None]
        base = sum(recorded, Fraction()) / len(recorded) if recorded else None
    return Finding(starts_at(rule.period, *start), value, base, rule.fires(value, base))


def _value(rule: AlertRule, metric: Metric, start: Start) -> Number | None:
    return headline(metric.kind, metric.summary(rule.period, starts_at(rule.period, *start), rule.labels))


def _latest_closed(period: Period, now: datetime) -> Start:
    day, hour = locate(HOUR, now)
    if period == HOUR:
        zone = time_zone()
        return bucket(int(hour_start(day, hour, zone).timestamp()) - 1, zone)
    return latest_closed(period, day), 0


def _weeks_before(period: Period, start: Start) -> Iterator[Start]:
    day, hour = start
    for weeks in range(1, WEEKS + 1):
        before = day - timedelta(weeks=weeks)
        # The 25th hour of a day on which clocks were put back is no hour of other days.
        if period != HOUR or hour < hours_in(before, time_zone()):
            yield before, hour


def _settle(rule: AlertRule, alert: Alert, metric: Metric, found: Finding, now: datetime) -> Alert | None:
    """Store what was found, and tell of it where it is to be told, in one transaction."""
    state = alert.state if found.fires is None else FIRED if found.fires else OK
    base = None if found.base is None else _MEAN.divide(Decimal(found.base.numerator), Decimal(found.base.denominator))
    changes = {
        "state": state,
        "value": found.value,
        "base": None if base is None else _MEAN.quantize(base, QUANTUM),
        "error": "",
        "evaluated_at": now,
    }
    if state != alert.state:
        changes["changed_at"] = now
    tells = state != alert.said_state and (alert.said_at is None or now >= alert.said_at + rule.quiet)
    if tells:
        changes |= {"said_state": state, "said_at": now}
    seen = {"state": alert.state, "said_state": alert.said_state, "evaluated_at": alert.evaluated_at}
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        if not Alert.objects.filter(pk=alert.pk, **seen).update(**changes):
            return None  # evaluated by somebody else meanwhile, who told what there was to tell
        if not tells:
            return None
        told = copy(alert)
        for name, value in changes.items():
            setattr(told, name, value)
        _tell(rule, told, metric, found, now)
    return told


def _tell(rule: AlertRule, alert: Alert, metric: Metric, found: Finding, now: datetime) -> None:
    if rule.recipients:
        with translation.override(settings.LANGUAGE_CODE):
            plan_notices(rule.recipients, [_mail(rule, alert, metric, found)], now)
    signal, name = (alert_fired, "alert_fired") if alert.state == FIRED else (alert_recovered, "alert_recovered")
    send(signal, name, Alert, alert=alert, moment=now)


def _mail(rule: AlertRule, alert: Alert, metric: Metric, found: Finding) -> tuple[str, list[str]]:
    told = {
        "alert": rule.name,
        "metric": metric.name,
        "period": rule.period.display_name,
        "start": date_format(found.start, "DATETIME_FORMAT" if rule.period == HOUR else "DATE_FORMAT"),
        "value": shown(found.value, metric.kind, metric.unit),
        "base": shown(alert.base, metric.kind, metric.unit),
        "limit": shown(rule.limit) if rule.test == CHANGE else shown(rule.limit, metric.kind, metric.unit),
    }
    lines = [_("%(metric)s, %(period)s from %(start)s: %(value)s"), _expectation(rule)]
    if rule.labels:
        lines.append(_("Labels: %(labels)s"))
        told["labels"] = ", ".join(f"{name}={value}" for name, value in sorted(rule.labels.items()))
    subject = _("Alert: %(alert)s") if alert.state == FIRED else _("Recovered: %(alert)s")
    return subject % told, [line % told for line in lines]


def _expectation(rule: AlertRule) -> str:
    if rule.test == BELOW:
        return _("The alert fires below %(limit)s.")
    if rule.test == ABOVE:
        return _("The alert fires above %(limit)s.")
    return _("The alert fires at a change of %(limit)s %%; the mean of the weeks before is %(base)s.")
