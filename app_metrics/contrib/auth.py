"""`APP_METRICS_AUTH`: one switch, or a mapping, to count signups, logins, failed logins and logouts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import DateField

from ..conf import settings
from ..core.setting_rules import SettingError, SettingReader, suggest
from .paths import imported

SETTING = "APP_METRICS_AUTH"
JOINED = "date_joined"
SIGNUPS = "signups"

SIGNALS = {
    "logins": "django.contrib.auth.signals.user_logged_in",
    "failed_logins": "django.contrib.auth.signals.user_login_failed",
    "logouts": "django.contrib.auth.signals.user_logged_out",
}
EVENTS = (SIGNUPS, *SIGNALS)

# Word → the attribute of users that it excludes.
EXCLUDED = {"staff": "is_staff", "superusers": "is_superuser"}


@dataclass(frozen=True, slots=True)
class AuthRules:
    """The events to count, and functions that return whether a user is left out."""

    events: Collection[str] = ()
    exclude: Sequence[Callable[[Any], Any]] = ()

    def counts(self, user: Any) -> bool:
        """Return whether an event of a user, or of nobody, counts."""
        return user is None or not any(excludes(user) for excludes in self.exclude)

    def counts_sent(self, *, user: Any = None, **sent: Any) -> bool:
        """Return whether a signal with these arguments counts. A failed login has no user."""
        return self.counts(user)


def auth_models() -> Mapping[str, Any]:
    """Return the model rules of the setting: a created user is a signup, at the time when the user joined."""
    return models_of(settings.APP_METRICS_AUTH)


def models_of(setting: Any) -> Mapping[str, Any]:
    """Return the model rules of a value of the setting."""
    rules, _ = compile_auth(setting)
    return {settings.AUTH_USER_MODEL: {"created": _signups(rules)}} if SIGNUPS in rules.events else {}


def auth_signals() -> Mapping[str, Any]:
    rules, _ = compile_auth(settings.APP_METRICS_AUTH)
    when = {"when": rules.counts_sent} if rules.exclude else {}
    return {path: {"slug": event, **when} for event, path in SIGNALS.items() if event in rules.events}


def compile_auth(setting: Any) -> tuple[AuthRules, list[SettingError]]:
    """Return what the setting counts, and its mistakes; after a mistake it counts nothing."""
    if not isinstance(setting, Mapping):
        return AuthRules(EVENTS if setting else ()), []
    reader = SettingReader("E001", SETTING)
    rules = AuthRules()
    with reader.catch():
        reader.check_keys(setting, ("events", "exclude"), code="E006")
        rules = AuthRules(
            _events(reader, setting.get("events", EVENTS)),
            [_excluded(reader, each) for each in reader.items("exclude", setting.get("exclude", ()), _HINT)],
        )
    return rules, reader.errors


_HINT = f"List {' and '.join(map(repr, EXCLUDED))}, callables that get the user, or dotted paths of callables."


def _events(reader: SettingReader, value: Any) -> list[str]:
    events = reader.items("events", value, 'List events: ["signups", "logins"].')
    for each in events:
        if each not in EVENTS:
            raise reader.error(f"has the unknown event {each!r}", suggest(each, EVENTS), code="E004")
    return events


def _excluded(reader: SettingReader, value: Any) -> Callable[[Any], Any]:
    if callable(value):
        return value  # type: ignore[no-any-return]
    if not isinstance(value, str):
        raise reader.error(f"excludes {value!r}", _HINT, code="E008")
    if value not in EXCLUDED:
        return imported(reader, value, " or ".join(map(repr, EXCLUDED)))
    return lambda user: getattr(user, EXCLUDED[value], False)


def _signups(rules: AuthRules) -> dict[str, Any]:
    try:
        fields = apps.get_model(settings.AUTH_USER_MODEL)._meta.concrete_fields
    except (LookupError, ValueError):  # Django's own check reports it
        fields = ()
    dated = any(isinstance(field, DateField) and field.name == JOINED for field in fields)
    when = {"when": rules.counts} if rules.exclude else {}
    return {"slug": SIGNUPS, **when} | ({"backfill": JOINED} if dated else {})
