"""`APP_METRICS_SIGNALS`: count any signal that is sent."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.core.signals import request_finished, request_started, setting_changed
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.base import ModelBase
from django.db.models.signals import ModelSignal
from django.dispatch import Signal, receiver
from django.utils.module_loading import import_string

from ..conf import settings
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..recording import request_scopes
from ..recording.metrics import record
from .auth import auth_signals
from .paths import Getter, attribute_path, imported
from .receivers import Receivers
from .rule_keys import Key, RuleReader, read_rules
from .rules import Rule

SETTING = "APP_METRICS_SIGNALS"
EXAMPLE = '{"django.contrib.auth.signals.user_logged_in": "logins"}'

# Signals that Django sends before the middleware opens a scope, after its end, or during our own write.
AROUND_REQUESTS = (request_started, request_finished, connection_created)

ON_COMMIT = "on_commit"

CompiledRules = list[tuple[Signal, list[Rule]]]

_receivers = Receivers()


def connect() -> None:
    """Disconnect earlier receivers, and connect those that the settings require."""
    _receivers.disconnect_all()
    stay_open = False
    for setting in (settings.APP_METRICS_SIGNALS, auth_signals()):
        for signal, rules in compile_signals(setting)[0]:
            is_around = signal in AROUND_REQUESTS
            stay_open |= is_around
            _receivers.connect(signal, partial(_receive_around_request if is_around else _receive, rules))
    request_scopes.connect(stay_open)


def compile_signals(setting: Any) -> tuple[CompiledRules, list[SettingError]]:
    """Return the good rules by signal, and the mistakes in the others."""
    reader = SettingReader("E001", SETTING)
    compiled: CompiledRules = []
    for entry, value in reader.entries(setting, EXAMPLE):
        rules = read_rules(entry, value, _reference, SIGNAL_KEYS)
        with entry.catch():
            compiled.append((_signal(entry, entry.key), rules))
    return compiled, reader.errors


def _signal(entry: SettingReader, path: str) -> Signal:
    try:
        signal = import_string(path)
    except Exception as error:
        raise entry.error(f"cannot be imported: {error}", _signal_like(path), code="E005") from error
    if isinstance(signal, ModelSignal):
        message = "is sent for every model, and a receiver would slow down the deletes of all models"
        raise entry.error(message, "Name the model in APP_METRICS_MODELS instead.", code="E005")
    if not isinstance(signal, Signal):
        raise entry.error("is not a django.dispatch.Signal", _signal_like(path), code="E005")
    return signal


def _signal_like(path: str) -> str:
    """Return a hint that names the most similar signal in the module of a path, if it has any."""
    module, _, name = path.rpartition(".")
    attributes = vars(sys.modules[module]).items() if module in sys.modules else ()
    signals = [each for each, found in attributes if isinstance(found, Signal)]
    return suggest(name, signals) if signals else "Give the dotted path of a signal, including its module."


def _receive(rules: list[Rule], /, *, signal: Signal, **sent: Any) -> None:
    for rule in rules:
        rule.fire(sent, partial(_record, rule.options.get(ON_COMMIT), sent))


def _record(on_commit: bool | None, sent: Mapping[str, Any], slug: str, kind: str, num: Any, labels: Any) -> None:
    if on_commit is None:
        on_commit = _is_about_a_row(sent)
    record(slug, kind, num, labels, None, on_commit, _alias(sent) if on_commit else None)


def _is_about_a_row(sent: Mapping[str, Any]) -> bool:
    """Return whether a model sends a signal about one of its rows, as Django's model signals are sent."""
    return isinstance(sent["sender"], ModelBase) and "instance" in sent


def _alias(sent: Mapping[str, Any]) -> str | None:
    """Return the database of what was sent; None if that is not known."""
    for alias in (sent.get("using"), getattr(getattr(sent.get("instance"), "_state", None), "db", None)):
        if isinstance(alias, str) and alias in connections.settings:
            return alias
    return None


def _on_commit(reader: RuleReader, value: Any) -> bool:
    if not isinstance(value, bool):
        raise reader.entry.error(f"has {ON_COMMIT}={value!r}", "Give True or False.")
    return value


SIGNAL_KEYS = {
    ON_COMMIT: Key(
        _on_commit,
        "`True`: counts when the open transaction commits, and never if it rolls back; `False`: at once. "
        "Default: `True` for signals that a model sends about a row, else `False`",
    ),
}


def _receive_around_request(rules: list[Rule], /, **sent: Any) -> None:
    with request_scopes.around_request():
        _receive(rules, **sent)


def _reference(entry: SettingReader, value: Any) -> Getter:
    if callable(value):
        return lambda sent: value(**sent)
    root, *names = value.split(".")
    if not names:
        return lambda sent: sent[root]
    try:
        function = imported(entry, value, "an attribute path of an argument of the signal")
    except SettingError:  # a signal does not declare its arguments, so a wrong path fails only when it is sent
        get = attribute_path(names)
        return lambda sent: get(sent[root])
    return lambda sent: function(**sent)


@receiver(setting_changed)
def _reconnect(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, "APP_METRICS_AUTH"):
        connect()
