"""`APP_METRICS_WEBSOCKETS`: count websocket connections, and their messages, by the path that they ask for."""

import re
from collections.abc import Mapping
from typing import Any

from ..conf import cached, settings
from ..core.setting_rules import SettingError, SettingReader
from .paths import Getter, attribute_path, imported
from .rule_keys import Key, read_rules, read_slug
from .rules import RECEIVED, SENT, TIMING, Rule
from .url_keys import read_timing
from .url_names import matches

SETTING = "APP_METRICS_WEBSOCKETS"
EXAMPLE = '{"ws/chat/*": "chats"}'

# What routes and addresses have, and paths do not.
_NOT_OF_A_PATH = re.compile(r"[<>^$?#\\]|://")

WEBSOCKET_KEYS = {
    RECEIVED: Key(read_slug, "the slug of a metric that counts the messages from the visitor"),
    SENT: Key(read_slug, "the slug of a metric that counts the messages to the visitor"),
    TIMING: Key(read_timing, "or the slug of a timer that records the seconds that a connection was open"),
}


def rules_of_connection(scope: Mapping[str, Any]) -> list[Rule]:
    """Return the rules for the path of an ASGI scope."""
    path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
    return [rule for pattern, rules in _rules_by_path().items() if matches(pattern, path) for rule in rules]


@cached
def _rules_by_path() -> Mapping[str, list[Rule]]:
    return compile_websockets(settings.APP_METRICS_WEBSOCKETS)[0]


def compile_websockets(setting: Any) -> tuple[dict[str, list[Rule]], list[SettingError]]:
    """Return the good rules by path or pattern, without the first slash, and the mistakes in the others."""
    reader = SettingReader("E001", SETTING)
    rules: dict[str, list[Rule]] = {}
    for entry, value in reader.entries(setting, EXAMPLE):
        with entry.catch():
            rules.setdefault(_path(entry), []).extend(read_rules(entry, value, _reference, WEBSOCKET_KEYS))
    return rules, reader.errors


def _path(entry: SettingReader) -> str:
    if _NOT_OF_A_PATH.search(entry.key):
        hint = 'Write the path alone, with * for what varies, such as "ws/chat/*".'
        raise entry.error("is not a path", hint, code="E002")
    return entry.key.lstrip("/")


def _reference(entry: SettingReader, value: Any) -> Getter:
    if callable(value):
        return lambda source: value(source["scope"])
    if value.split(".")[0] == "scope":
        return attribute_path(value.split("."))
    return _reference(entry, imported(entry, value, 'a path that begins with "scope."'))
