"""Paths of names from an object, such as "owner.is_staff", resolved as Django's templates do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.module_loading import import_string

from ..core.setting_rules import SettingReader

# The object that a rule reads values from: an instance, or named objects such as a request and a response.
RuleSource = Any
Getter = Callable[[RuleSource], Any]

READ_ONLY = "Give a path or a callable that only reads."

_MISSING = object()


def attribute_path(names: Sequence[str]) -> Getter:
    """Return a function that follows names from an object: keys of mappings, attributes, indexes of sequences.

    Methods are called, unless they have an attribute with the next name. The function returns None if a key or an index
    is missing, or if a value before the end is None. It raises AttributeError for a missing attribute, and TypeError if
    a call would change data.
    """

    def get(source: RuleSource) -> Any:
        for name in names:
            source = _step(source, name)
            if source is None:
                return None
        return _called(source) if names else source

    return get


def _step(source: Any, name: str) -> Any:
    found = _lookup(source, name)
    if found is _MISSING:
        called = _called(source)
        found = _MISSING if called is source else None if called is None else _lookup(called, name)
    if found is _MISSING:
        raise AttributeError(f"{type(source).__name__!r} has no {name!r}")
    return found


def _lookup(source: Any, name: str) -> Any:
    is_mapping = isinstance(source, Mapping) or _has_keys(source)
    if is_mapping and name in source:  # reading a missing key of a defaultdict would add it
        return source[name]
    try:
        return getattr(source, name)
    except AttributeError as error:
        if getattr(error, "silent_variable_failure", False):  # a related row that does not exist
            return None
        if name in dir(source):  # a property that failed
            raise
    if is_mapping:
        return None
    return _item(source, int(name)) if name.isdecimal() and hasattr(type(source), "__getitem__") else _MISSING


def _has_keys(source: Any) -> bool:
    """Return whether something is like a mapping without being one, as a session is."""
    return all(hasattr(type(source), name) for name in ("keys", "__getitem__", "__contains__"))


def _item(source: Any, index: int) -> Any:
    try:
        return source[index]
    except IndexError:
        return None


def _called(value: Any) -> Any:
    """Return what a function or method returns, and anything else as it is. Raises TypeError for one that changes data.

    Classes are not called, nor what Django's templates do not call.
    """
    if not callable(value) or isinstance(value, type) or getattr(value, "do_not_call_in_templates", False):
        return value
    if alters_data(value):
        raise TypeError(f"{getattr(value, '__qualname__', value)!r} changes data, so it is not called")
    return value()


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
