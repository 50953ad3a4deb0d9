"""Paths of names from an object, such as "owner.is_staff"."""

from collections.abc import Callable, Sequence
from typing import Any

from django.utils.module_loading import import_string

from ..core.setting_rules import SettingReader

# The object that a rule reads values from: an instance, or named objects such as a request and a response.
RuleSource = Any
Getter = Callable[[RuleSource], Any]

READ_ONLY = "Give a path or a callable that only reads."


def attribute_path(names: Sequence[str]) -> Getter:
    """Return a function that follows attributes from an object, and calls the last one if it is callable.

    The function raises TypeError if that call would change data.
    """

    def get(source: RuleSource) -> Any:
        for name in names:
            source = getattr(source, name)
        if not callable(source):
            return source
        if alters_data(source):
            raise TypeError(f"{'.'.join(names)!r} changes data, so it is not called")
        return source()

    return get


def alters_data(value: Any) -> bool:
    """Return whether a callable is marked as changing data, as `delete()` and `save()` of models are.

    Django's templates call none of those either.
    """
    return callable(value) and bool(getattr(value, "alters_data", False))


def imported(entry: SettingReader, path: str, instead: str) -> Callable[..., Any]:
    """Return the callable at a dotted path. Raises SettingError; its hint names what to give `instead`."""
    hint = f"Give {instead}, or the dotted path of a callable."
    try:
        found = import_string(path)
    except Exception as error:
        message = f"refers to {path!r}, which cannot be imported ({error})"
        raise entry.error(message, hint, code="E008") from error
    if not callable(found):
        raise entry.error(f"refers to {path!r}, which is not callable", hint, code="E008")
    if alters_data(found):
        raise entry.error(f"refers to {path!r}, which changes data", READ_ONLY, code="E008")
    return found  # type: ignore[no-any-return]
