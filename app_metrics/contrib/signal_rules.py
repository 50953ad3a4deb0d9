"""`APP_METRICS_SIGNALS`: count any signal that is sent."""

import sys
from functools import partial
from typing import Any

from django.core.signals import setting_changed
from django.db.models.signals import ModelSignal
from django.dispatch import Signal, receiver
from django.utils.module_loading import import_string

from ..conf import settings
from ..core.setting_rules import SettingError, entries, suggest
from .auth import auth_signals
from .connections import Connections
from .rules import Getter, Parser, Rule, attribute_path, imported

SETTING = "APP_METRICS_SIGNALS"
EXAMPLE = '{"django.contrib.auth.signals.user_logged_in": "logins"}'

CompiledRules = list[tuple[Signal, list[Rule]]]

_connections = Connections()


def connect() -> None:
    """Connect the receivers that the settings ask for, in place of those connected before."""
    _connections.clear()
    for setting in (settings.APP_METRICS_SIGNALS, auth_signals()):
        for signal, rules in compile_signals(setting)[0]:
            _connections.connect(signal, partial(_receive, rules))


def compile_signals(setting: Any) -> tuple[CompiledRules, list[SettingError]]:
    compiled: CompiledRules = []
    errors: list[SettingError] = []
    try:
        for path, value in entries(SETTING, setting, EXAMPLE):
            _compile_signal(path, value, compiled, errors)
    except SettingError as error:
        errors.append(error)
    return compiled, errors


def _compile_signal(path: str, value: Any, compiled: CompiledRules, errors: list[SettingError]) -> None:
    origin = f"{SETTING}[{path!r}]"
    try:
        rules, mistakes = Parser(origin, _reference).parse(value)
        errors += mistakes
        compiled.append((_signal(path, origin), rules))
    except SettingError as error:
        errors.append(error)


def _signal(path: str, origin: str) -> Signal:
    try:
        signal = import_string(path)
    except Exception as error:
        raise SettingError("E005", f"{origin} cannot be imported: {error}.", _signal_like(path)) from error
    if isinstance(signal, ModelSignal):
        raise SettingError(
            "E005", f"{origin} is a signal of every model, and listening to it slows down deletes of each.",
            "Name the model in APP_METRICS_MODELS instead.",
        )  # fmt: skip
    if not isinstance(signal, Signal):
        raise SettingError("E005", f"{origin} is no django.dispatch.Signal.", _signal_like(path))
    return signal


def _signal_like(path: str) -> str:
    """Return a hint that names what was probably meant of the signals in a path's module, if there is one."""
    module, _, name = path.rpartition(".")
    there = vars(sys.modules[module]).items() if module in sys.modules else ()
    signals = [name for name, found in there if isinstance(found, Signal)]
    return suggest(name, signals) if signals else "Give the dotted path of a signal, its module first."


def _receive(rules: list[Rule], /, *, sender: Any, signal: Signal, **sent: Any) -> None:
    for rule in rules:
        rule.fire({"sender": sender, **sent})


def _reference(value: Any) -> Getter:
    if callable(value):
        return lambda sent: value(**sent)
    root, *names = value.split(".")
    if not names:
        return lambda sent: sent[root]
    try:
        function = imported(value, "an attribute path of what the signal sends")
    except SettingError:  # signals do not say what they send, so this is only known when one is sent
        get = attribute_path(names)
        return lambda sent: get(sent[root])
    return lambda sent: function(**sent)


@receiver(setting_changed)
def _reconnect(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, "APP_METRICS_AUTH"):
        connect()
