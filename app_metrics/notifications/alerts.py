"""Alerts: report a number that is out of its limits (`APP_METRICS_ALERTS`).

A rule checks the main number, or a percentile, of the latest closed period in the metrics time zone. Only changes of
state are reported: an alert fired, or it recovered. During a rule's quiet time nothing further is reported; if the
state still differs afterwards, it is reported then.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from ..conf import settings, time_zone
from ..core.calendar import as_stored, aware, latest_closed, locate, starts_at
from ..core.formatting import date_title, moment_title, shown
from ..core.numbers import QUANTUM, Number, trimmed
from ..core.periods import HOUR, Period, Start, bucket, hour_start, hours_in
from ..core.plain_text import one_line
from ..core.summary import COUNTER, UNIQUE
from ..models import Alert, Metric
from ..models.alerts import FIRED, OK
from ..models.beginnings import counted_before
from ..models.primary import primary
from ..signals import alert_fired, alert_recovered
from ..storage.transactions import between_others, retried
from .alert_rules import ABOVE, BELOW, CHANGE, AlertRule, compile_alerts
from .announcements import links_to, plan_notifications, send
from .future_marks import known
from .watched import NotYet, Watched, watched

__all__ = ["AlertCheck", "check_alerts", "compile_alerts"]

# The base of a change is the mean of this many previous weeks.
WEEKS = 4

_MEAN = Context(prec=100)

logger = logging.getLogger("app_metrics")


@dataclass(slots=True)
class AlertCheck:
    """The result of one evaluation: names of rules, the alerts with a reported change, and reasons by name.

    `waiting` has those whose metric has no numbers yet, or not enough, and `failed` those that could not be evaluated.
    """

    evaluated: list[str] = field(default_factory=list)
    fired: list[Alert] = field(default_factory=list)
    recovered: list[Alert] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Finding(NamedTuple):
    """The numbers that a rule compared, and whether it fires."""

    start: date | datetime
    value: Number | None
    base: Fraction | None
    fires: bool | None


def check_alerts(now: datetime | None = None) -> AlertCheck:
    """Evaluate all alerts at an aware moment (default: now), and report which fired and which recovered.

    It may run at any time, and in several processes at once: each change is reported once. A rule that cannot be
    evaluated keeps its state, and does not stop the others; only the result says why.
    """
    now = datetime.now(UTC) if now is None else aware(now)
    done = AlertCheck()
    rules, mistakes = compile_alerts(settings.APP_METRICS_ALERTS)
    for mistake in mistakes:
        _fail(done, mistake.key, f"{mistake} {mistake.hint}", now)
    if not rules:
        return done
    alerts = _alerts(rules)
    slugs = {slug for rule in rules.values() for slug in rule.slugs}
    primary(Metric.objects).discover(slugs)
    metrics = primary(Metric.objects).in_bulk(slugs, field_name="slug")
    for name, rule in rules.items():
        try:
            _check_counted(rule, metrics, now)
            number = watched(rule, metrics)
            changed = _check(rule.towards(number.better), alerts[name], number, now)
        except NotYet as reason:
            done.waiting[name] = str(reason)
            _store_error(name, str(reason), now)
            continue
        except Exception as error:
            _fail(done, name, str(error) or repr(error), now)
            continue
        done.evaluated.append(name)
        if changed:
            (done.fired if changed.state == FIRED else done.recovered).append(changed)
    return done


def _alerts(names: Iterable[str]) -> dict[str, Alert]:
    """Return the stored states of alerts by name; a new alert begins as OK."""
    known: dict[str, Alert] = primary(Alert.objects).in_bulk(names, field_name="name")
    new = sorted(names - known.keys())
    if new:
        retried(partial(_create, new))
        known |= primary(Alert.objects).in_bulk(new, field_name="name")
    return known


def _create(names: Iterable[str]) -> None:
    with between_others():
        Alert.objects.bulk_create([Alert(name=name) for name in names], ignore_conflicts=True)


def _fail(done: AlertCheck, name: str, error: str, now: datetime) -> None:
    error = one_line(error)  # also without characters that databases refuse
    done.failed[name] = error  # the caller reports it
    _store_error(name, error, now)


def _store_error(name: str, error: str, now: datetime) -> None:
    try:
        with between_others():
            Alert.objects.filter(name=name).update(error=error, evaluated_at=as_stored(now))
    except (DatabaseError, ValueError):  # the database may refuse a bad name
        logger.exception("The error of the alert %r could not be stored", name)


def _check_counted(rule: AlertRule, metrics: Mapping[str, Metric], now: datetime) -> None:
    """Raise NotYet if the metrics of a rule were not counted long enough.

    A counter that was not counted throughout the period may have a number that is too low, and so may either part of a
    ratio.
    """
    missing = sorted(rule.slugs - metrics.keys())
    if missing:
        raise NotYet(f"The metric {missing[0]!r} has no numbers yet; if it should have, check the slug.")
    parts = [metrics[slug] for slug in rule.slugs]
    is_low = rule.ratio or (rule.test == BELOW and parts[0].kind in (COUNTER, UNIQUE))
    if is_low and not _counted(parts, rule.reads_from(_latest_closed(rule.period, now))):
        days = f" with the {rule.ratio.days} days up to its end" if rule.ratio and rule.ratio.days else ""
        reason = f"The latest {rule.period}{days} was not counted in full; the alert begins with the first one that is."
        raise NotYet(reason)


def _counted(metrics: Iterable[Metric], start: Start) -> bool:
    """Return whether each of some metrics was recorded before the start of a period."""
    return all(counted_before([metric], *start) for metric in metrics)


def _check(rule: AlertRule, alert: Alert, number: Watched, now: datetime) -> Alert | None:
    """Evaluate a rule and store its state; return the alert if a change was reported."""
    found = _find(rule, number, now)
    changed: Alert | None = retried(partial(_settle, rule, alert, number, found, now))
    return changed


def _find(rule: AlertRule, number: Watched, now: datetime) -> Finding:
    start = _latest_closed(rule.period, now)
    value = _value(rule, number, start)
    if not value and not _counted(number.metrics, locate(rule.period, now)):
        raise NotYet(f"No {rule.period} is over since {number.metrics[0].slug!r} was first recorded.")
    base = None
    if rule.test == CHANGE:
        before = [_known_value(rule, number, each) for each in _counted_weeks(rule, number, start)]
        recorded = [Fraction(each) for each in before if each is not None]
        base = sum(recorded, Fraction()) / len(recorded) if recorded else None
    return Finding(starts_at(rule.period, *start), value, base, rule.fires(value, base))


def _value(rule: AlertRule, number: Watched, start: Start) -> Number | None:
    return number.read(rule.period, starts_at(rule.period, *start))


def _known_value(rule: AlertRule, number: Watched, start: Start) -> Number | None:
    try:
        return _value(rule, number, start)
    except NotYet:
        return None


def _latest_closed(period: Period, now: datetime) -> Start:
    day, hour = locate(HOUR, now)
    if period == HOUR:
        zone = time_zone()
        return bucket(int(hour_start(day, hour, zone).timestamp()) - 1, zone)
    return latest_closed(period, day), 0


def _counted_weeks(rule: AlertRule, number: Watched, start: Start) -> list[Start]:
    """Return the starts of the period in the previous weeks, without those before counting began."""
    weeks = list(_weeks_before(rule.period, start))
    while weeks and not _counted(number.metrics, rule.reads_from(weeks[-1])):
        weeks.pop()
    return weeks


def _weeks_before(period: Period, start: Start) -> Iterator[Start]:
    day, hour = start
    for weeks in range(1, WEEKS + 1):
        before = day - timedelta(weeks=weeks)
        # Only a day on which clocks are set back has a 25th hour.
        if period != HOUR or hour < hours_in(before, time_zone()):
            yield before, hour


def _settle(rule: AlertRule, alert: Alert, number: Watched, found: Finding, now: datetime) -> Alert | None:
    """Store the finding, and report a change of state unless the rule is quiet, in one transaction."""
    now = as_stored(now)
    state = alert.state if found.fires is None else FIRED if found.fires else OK
    changes = _changes(alert, state, found, now)
    reported_at = known(alert.reported_at, now)
    is_reported = state != alert.reported_state and (reported_at is None or now >= reported_at + rule.quiet)
    changes |= {"reported_state": state, "reported_at": now} if is_reported else {"reported_at": reported_at}
    seen = {"state": alert.state, "reported_state": alert.reported_state, "evaluated_at": alert.evaluated_at}
    # The receivers of a report may take time, during which others should be able to read.
    with transaction.atomic(using=settings.APP_METRICS_DATABASE) if is_reported else between_others():
        if not Alert.objects.filter(pk=alert.pk, **seen).update(**changes):
            return None  # another process evaluated and reported it meanwhile
        if not is_reported:
            return None
        changed = copy(alert)
        for name, value in changes.items():
            setattr(changed, name, value)
        _report(rule, changed, number, found, now)
    return changed


def _changes(alert: Alert, state: str, found: Finding, now: datetime) -> dict[str, Any]:
    """Return the new values of an alert that was evaluated."""
    base = None if found.base is None else _MEAN.divide(Decimal(found.base.numerator), Decimal(found.base.denominator))
    changes = {
        "state": state,
        "value": found.value,
        "base": None if base is None else trimmed(_MEAN.quantize(base, QUANTUM)),
        "error": "",
        "evaluated_at": now,
    }
    return changes if state == alert.state else {**changes, "changed_at": now}


def _report(rule: AlertRule, alert: Alert, number: Watched, found: Finding, now: datetime) -> None:
    if rule.recipients:
        with translation.override(settings.LANGUAGE_CODE):
            plan_notifications(rule.recipients, [_mail(rule, alert, number, found)], now)
    signal, name = (alert_fired, "alert_fired") if alert.state == FIRED else (alert_recovered, "alert_recovered")
    send(signal, name, Alert, alert=alert, moment=aware(now))


def _mail(rule: AlertRule, alert: Alert, number: Watched, found: Finding) -> tuple[str, list[str]]:
    kind_of_limit = "" if number.kind == UNIQUE else number.kind  # a limit is no estimate
    values = {
        "alert": rule.name,
        "metric": number.title,
        "period": rule.period.display_name,
        "start": moment_title(found.start) if isinstance(found.start, datetime) else date_title(found.start),
        "value": shown(found.value, number.kind, number.unit),
        "base": shown(alert.base, number.kind, number.unit),
        "limit": shown(rule.limit) if rule.test == CHANGE else shown(rule.limit, kind_of_limit, number.unit),
    }
    lines = [_("%(metric)s, %(period)s from %(start)s: %(value)s"), _expectation(rule)]
    if rule.labels:
        lines.append(_("Labels: %(labels)s"))
        values["labels"] = ", ".join(f"{name}={value}" for name, value in sorted(rule.labels.items()))
    subject = _("Alert: %(alert)s") if alert.state == FIRED else _("Recovered: %(alert)s")
    return subject % values, [*(line % values for line in lines), *links_to(number.slug, number.page)]


def _expectation(rule: AlertRule) -> str:
    if rule.test == BELOW:
        return _("The alert fires below %(limit)s.")
    if rule.test == ABOVE:
        return _("The alert fires above %(limit)s.")
    return _("The alert fires at a change of %(limit)s %%; the mean of the previous weeks is %(base)s.")
