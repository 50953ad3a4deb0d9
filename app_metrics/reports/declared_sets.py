"""`APP_METRICS_SETS`: metric sets that the settings declare, copied to rows so that everything else sees one kind."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DatabaseError, connections, router, transaction

from ..conf import settings
from ..core.setting_rules import SettingError, suggest
from ..core.validation import check_slug
from ..models import Metric, MetricSet
from ..models.reports import SENT_PERIODS
from ..storage.transactions import retried

SETTING = "APP_METRICS_SETS"
EXAMPLE = '{"Growth": {"metrics": ["new_user_signup"], "recipients": ["team@example.com"], "send": ["weekly"]}}'
KEYS = ("metrics", "recipients", "send")
SENDS = tuple(field.removeprefix("send_") for field in SENT_PERIODS.values())
MAX_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class DeclaredSet:
    """One entry of the setting."""

    name: str
    metrics: Sequence[str]
    recipients: Sequence[str]
    send: Sequence[str]

    @property
    def columns(self) -> dict[str, Any]:
        sends = {f"send_{each}": each in self.send for each in SENDS}
        return {"declared": True, "email_addresses": "\n".join(self.recipients), **sends}


def compile_sets(value: Any) -> tuple[list[DeclaredSet], list[SettingError]]:
    """Return the sets that are right and the mistakes of those that are not."""
    if not isinstance(value, Mapping):
        return [], [
            SettingError("E017", f"{SETTING} is {value!r}, which is no mapping.", f"Write {SETTING} = {EXAMPLE}.")
        ]
    sets: dict[str, DeclaredSet] = {}
    errors: list[SettingError] = []
    for name, entry in value.items():
        try:
            compiled = _compile(name, entry)
            _refuse_twin(name, sets)
        except SettingError as error:
            errors.append(error)
        else:
            sets[name.casefold()] = compiled
    return list(sets.values()), errors


def declare() -> None:
    """Copy what the settings declare to metric sets. What they declare no longer stays, and sends nothing.

    Only metrics that exist belong to a set; others join when they were recorded. A mistaken entry changes nothing.
    """
    named = settings.APP_METRICS_SETS
    if not isinstance(named, Mapping):  # a mistake in all of it
        return
    # One transaction a set: none waits for a second one, so that processes that do this at once never block each other.
    for each in compile_sets(named)[0]:
        retried(connections[settings.APP_METRICS_DATABASE], partial(_copy, each))
    dropped = dict.fromkeys(SENT_PERIODS.values(), False)
    for pk in MetricSet.objects.filter(declared=True).exclude(name__in=list(named)).values_list("pk", flat=True):
        MetricSet.objects.filter(pk=pk).update(declared=False, **dropped)


def declare_after_migrating(*, using: str, **kwargs: Any) -> None:
    """Show what the settings declare in the admin as soon as `migrate` ran, before anything is sent."""
    if using != settings.APP_METRICS_DATABASE or router.db_for_write(MetricSet) != using:
        return
    # Migrated back, or not this far yet, the tables are others; the next sending copies the sets anyway.
    with suppress(DatabaseError):
        declare()


def _copy(declared: DeclaredSet) -> None:
    found = MetricSet.objects.filter(name=declared.name)
    with transaction.atomic(using=settings.APP_METRICS_DATABASE):
        # Not update_or_create: it reads before it writes, which SQLite refuses beside another writer.
        if not found.update(**declared.columns):
            MetricSet.objects.create(name=declared.name, **declared.columns)
        metric_set = found.get()
        metric_set.metrics.set(Metric.objects.filter(slug__in=declared.metrics))
        if metric_set.email_recipients.exists():  # it was made in the admin before
            metric_set.email_recipients.clear()


def _compile(name: Any, entry: Any) -> DeclaredSet:
    origin = f"{SETTING}[{name!r}]"
    if not isinstance(name, str) or not name or name != name.strip() or len(name) > MAX_NAME_LENGTH:
        hint = f"Give a text of 1 to {MAX_NAME_LENGTH} characters, without blanks around it."
        raise SettingError("E017", f"{origin} has a name that no set can have.", hint)
    if not isinstance(entry, Mapping):
        raise SettingError("E017", f"{origin} is {entry!r}, which is no mapping.", f"Map names to sets: {EXAMPLE}.")
    for key in entry:
        if key not in KEYS:
            raise SettingError("E017", f"{origin} has the unknown key {key!r}.", suggest(key, KEYS))
    metrics = _texts(origin, entry, "metrics", "List slugs.")
    recipients = _texts(origin, entry, "recipients", "List e-mail addresses.")
    send = _texts(origin, entry, "send", f"List some of {', '.join(SENDS)}.")
    _require_together(origin, metrics, recipients, send)
    for slug in metrics:
        _require(origin, slug, check_slug, "Letters, digits, hyphens and underscores make a slug.")
    for address in recipients:
        _require(origin, address, validate_email, "Give addresses such as team@example.com.")
    for each in send:
        if each not in SENDS:
            raise SettingError("E017", f"{origin} has send={each!r}.", suggest(each, SENDS))
    return DeclaredSet(name, metrics, recipients, send)


def _texts(origin: str, entry: Mapping[str, Any], key: str, hint: str) -> list[str]:
    value = entry.get(key, [])
    if not isinstance(value, Collection) or isinstance(value, (str, Mapping)):
        raise SettingError("E017", f"{origin} has {key}={value!r}, which is no list.", hint)
    for each in value:
        if not isinstance(each, str):
            raise SettingError("E017", f"{origin} has {each!r} in {key}, which is no text.", hint)
    return list(value)


def _require_together(origin: str, metrics: list[str], recipients: list[str], send: list[str]) -> None:
    """A set without recipients and schedule is there to look at; one of them without the other sends nothing."""
    if not metrics:
        raise SettingError("E017", f"{origin} has no metrics.", 'Add "metrics": ["…"], the slugs to report.')
    if recipients and not send:
        raise SettingError("E017", f"{origin} has recipients, but no send.", f'Add "send": some of {", ".join(SENDS)}.')
    if send and not recipients:
        raise SettingError("E017", f"{origin} has send, but no recipients.", 'Add "recipients": e-mail addresses.')


def _refuse_twin(name: str, sets: Mapping[str, DeclaredSet]) -> None:
    """Databases that ignore case would take both for one."""
    twin = sets.get(name.casefold())
    if twin is not None:
        hint = "Rename one of them; case does not tell sets apart."
        raise SettingError("E017", f"{SETTING} has both {twin.name!r} and {name!r}.", hint)


def _require(origin: str, value: Any, check: Any, hint: str) -> None:
    try:
        check(value)
    except (ValueError, ValidationError) as error:
        raise SettingError("E017", f"{origin} has {value!r}.", hint) from error
