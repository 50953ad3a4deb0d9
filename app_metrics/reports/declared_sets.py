"""`APP_METRICS_SETS`: metric sets from the settings, copied to rows so that all other code reads one kind of set."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import DatabaseError, router
from django.utils import timezone

from ..conf import settings
from ..core.calendar import latest_closed, today
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..models import Metric, MetricSet, Schedule
from ..models.primary import primary
from ..models.reports import SENT_PERIODS, addresses_in
from ..ratios.declared import SETTING as RATIOS
from ..ratios.declared import Ratio, ratios
from ..storage.transactions import between_others, retried

SETTING = "APP_METRICS_SETS"
SET_EXAMPLE = '{"metrics": ["new_user_signup"], "recipients": ["team@example.com"], "send": ["weekly"]}'
EXAMPLE = f'{{"Growth": {SET_EXAMPLE}}}'
KEYS = ("metrics", "ratios", "recipients", "send")
SENDS = tuple(each.field.removeprefix("send_") for each in SENT_PERIODS.values())
MAX_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class DeclaredSet:
    """One entry of the setting."""

    name: str
    metrics: Sequence[str]
    recipients: Sequence[str]
    send: Sequence[str]
    ratios: Sequence[str] = ()

    @property
    def columns(self) -> dict[str, Any]:
        sends = {f"send_{each}": each in self.send for each in SENDS}
        return {"declared": True, "email_addresses": "\n".join(self.recipients), **sends}


def compile_sets(value: Any) -> tuple[list[DeclaredSet], list[SettingError]]:
    """Return the good sets, and the mistakes in the others."""
    reader = SettingReader("E017", SETTING)
    sets: dict[str, DeclaredSet] = {}
    for entry, each in reader.entries(value, EXAMPLE):
        with entry.catch():
            declared = _compile(entry, each)
            # Some databases ignore case, and would store both in one row.
            if twin := sets.get(declared.name.casefold()):
                raise entry.error(f"differs from {twin.name!r} only in case", "Rename one of them.")
            sets[declared.name.casefold()] = declared
    return list(sets.values()), reader.errors


def ratios_of_set(name: str) -> list[Ratio]:
    """Return the ratios that the settings give a set."""
    named = (each.ratios for each in compile_sets(settings.APP_METRICS_SETS)[0] if each.name == name)
    return [ratios()[each] for each in next(named, ()) if each in ratios()]


def declare() -> None:
    """Copy the sets in the settings to metric sets. A set that is no longer in the settings stays, but is not sent.

    A set that got a new name is recognised by its metrics and recipients, and keeps its unsubscriptions and schedules.
    Any other new set begins with the periods that are not over yet.

    A set holds only metrics that were recorded already; the others join later. An invalid entry changes nothing.
    """
    named = settings.APP_METRICS_SETS
    if not isinstance(named, Mapping):  # E017: leave all sets as they are
        return
    primary(Metric.objects).discover()
    # One transaction per set: none waits for a second lock, so concurrent processes cannot deadlock.
    for each in compile_sets(named)[0]:
        retried(partial(_copy, each, list(named)))
    dropped = {each.field: False for each in SENT_PERIODS.values()}
    for pk in _removed(list(named)).values_list("pk", flat=True):
        with between_others():
            MetricSet.objects.filter(pk=pk).update(declared=False, **dropped)


def declare_after_migrating(*, using: str, **kwargs: Any) -> None:
    """Copy the sets after `migrate`, so that the admin shows them before any report is sent."""
    if using != settings.APP_METRICS_DATABASE or router.db_for_write(MetricSet) != using:
        return
    # After a partial or backward migration the tables may not fit; the next sending copies the sets anyway.
    with suppress(DatabaseError):
        declare()


def _removed(names: list[Any]) -> Any:
    """Return the sets that were declared in the settings once, but are not among the names there now."""
    return primary(MetricSet.objects).filter(declared=True).exclude(name__in=names)


def _copy(declared: DeclaredSet, names: list[Any]) -> None:
    found = primary(MetricSet.objects).filter(name=declared.name)
    with between_others():
        # Not update_or_create: it reads first, and SQLite then refuses the write if there is another writer.
        if not found.update(**declared.columns) and not _rename(declared, names):
            _create(declared)
        metric_set = found.get()
        metric_set.metrics.set(primary(Metric.objects).filter(slug__in=declared.metrics))
        if primary(metric_set.email_recipients).exists():  # a set that was created in the admin
            metric_set.email_recipients.clear()


def _rename(declared: DeclaredSet, names: list[Any]) -> bool:
    """Give the name to a removed set of metrics that are all declared, with a common recipient, if there is one.

    The row of the removed set may lack metrics that were first recorded later. Returns whether there was one.
    """
    recipients = {each.casefold() for each in declared.recipients}
    others = {}
    for former in _removed(names):
        addresses = {each.casefold() for each in addresses_in(former.email_addresses)}
        metrics = set(primary(former.metrics).values_list("slug", flat=True))
        if addresses & recipients and metrics and metrics.issubset(declared.metrics):
            others[former.pk] = len(metrics ^ {*declared.metrics}), len(addresses ^ recipients)
    if not others:
        return False
    nearest = _removed(names).filter(pk=min(others, key=others.__getitem__))
    return bool(nearest.update(name=declared.name, **declared.columns))


def _create(declared: DeclaredSet) -> None:
    metric_set = MetricSet.objects.create(name=declared.name, **declared.columns)
    now = timezone.now()
    Schedule.objects.bulk_create(
        Schedule(metric_set=metric_set, period=period, through=latest_closed(period, today()), planned_at=now)
        for period in SENT_PERIODS
    )


def _compile(entry: SettingReader, value: Any) -> DeclaredSet:
    name = entry.key
    if not name or name != name.strip() or len(name) > MAX_NAME_LENGTH:
        hint = f"Give a text of 1 to {MAX_NAME_LENGTH} characters, without spaces at its ends."
        raise entry.error("has an invalid name", hint)
    entry.check_mapping(value, SET_EXAMPLE)
    entry.check_keys(value, KEYS)
    metrics = [entry.slug(each) for each in entry.items("metrics", value.get("metrics", ()), "Give a list of slugs.")]
    recipients = entry.recipients(value.get("recipients", ()))
    some_sends = f"some of {', '.join(SENDS)}"
    sends = entry.items("send", value.get("send", ()), f"List {some_sends}.")
    if not metrics:
        raise entry.error("has no metrics", 'Add "metrics": ["…"], the slugs to report.')
    # A set with neither recipients nor a schedule is only shown; with only one of them it could never be sent.
    if recipients and not sends:
        raise entry.error("has recipients, but no send", f'Add "send": {some_sends}.')
    if sends and not recipients:
        raise entry.error("has send, but no recipients", 'Add "recipients": e-mail addresses.')
    sends = [entry.choice("send", each, SENDS) for each in sends]
    return DeclaredSet(name, metrics, recipients, sends, _ratios(entry, value.get("ratios", ())))


def _ratios(entry: SettingReader, value: Any) -> tuple[str, ...]:
    declared = settings.APP_METRICS_RATIOS
    # One with a mistake, too: that is reported where it is declared.
    known = [*declared] if isinstance(declared, Mapping) else []
    names = entry.items("ratios", value, f"Give a list of names of {RATIOS}.")
    for each in names:
        if each not in known:
            hint = suggest(each, known) if known else f"Add it to {RATIOS}."
            raise entry.error(f"has the unknown ratio {each!r}", hint)
    return tuple(dict.fromkeys(names))
