"""Find paths that can never resolve, such as "title.upper.nothing", as far as types are known beforehand."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import BinaryField, Field, FileField, Model
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.request import HttpHeaders
from django.http.response import ResponseHeaders
from django.urls import ResolverMatch

from ..core.setting_rules import SettingReader, suggest
from .paths import READ_ONLY, alters_data

# Types whose attributes are all known, and whose methods are safe to call on a sample.
VALUES = (str, bytes, bool, int, float, Decimal, date, datetime, time, timedelta, UUID)

# Mappings of a request and a response whose values are texts.
TEXTS = (QueryDict, HttpHeaders, ResponseHeaders)

# The internal type of a field of Django → a sample of its values.
SAMPLES: Mapping[str, Any] = {
    **dict.fromkeys(("CharField", "EmailField", "SlugField", "TextField", "URLField", "FilePathField"), ""),
    **dict.fromkeys(("IntegerField", "SmallIntegerField", "BigIntegerField", "AutoField", "BigAutoField"), 1),
    **dict.fromkeys(("PositiveIntegerField", "PositiveSmallIntegerField", "PositiveBigIntegerField"), 1),
    "BooleanField": True,
    "DateField": date(2000, 1, 1),
    "DateTimeField": datetime(2000, 1, 1, tzinfo=UTC),
    "DecimalField": Decimal(1),
    "DurationField": timedelta(1),
    "FloatField": 1.0,
    "GenericIPAddressField": "",
    "TimeField": time(1),
    "UUIDField": UUID(int=1),
}

# What a number, a date of a duration, and an id may be read from. A text may hold digits.
NUMBERS = (int, float, Decimal, str)
DATES = (date, datetime, timedelta)
IDS = (int, str, UUID, Decimal)

# What fields of these types hold, and what such a field is called.
WANTED: Mapping[tuple[type, ...], tuple[str, str]] = {
    NUMBERS: ("a number", "a field of numbers"),
    DATES: ("a date", "a date field"),
    IDS: ("an id", "a field of ids"),
}


def check_model_path(entry: SettingReader, model: type[Model], names: Sequence[str]) -> list[str]:
    """Return the leading names that are relations to one other row, as far as that is known.

    Raises SettingError for a missing name, and for one that changes data.
    """
    fields = {field.name: field for field in model._meta.get_fields()}
    name, *rest = names
    if not hasattr(model, name):
        message = f"refers to {name!r}, which {model._meta.label} does not have"
        raise entry.error(message, suggest(name, [*fields]), code="E008")
    if alters_data(getattr(model, name)):
        raise entry.error(f"refers to {name!r} of {model._meta.label}, which changes data", READ_ONLY, code="E008")
    field: Any = fields.get(name)
    related = getattr(field, "related_model", None)
    if isinstance(related, type):
        if field.one_to_many or field.many_to_many:
            return []
        return [name, *(check_model_path(entry, related, rest) if rest else ())]
    check_value_path(entry, _sample(field), rest)
    return []


def check_value_path(entry: SettingReader, sample: Any, names: Sequence[str]) -> None:
    """Raise SettingError for a path that no value of a sample's type resolves; accept what is not known."""
    for name in names:
        if isinstance(sample, TEXTS) and not hasattr(sample, name):
            sample = ""
            continue
        if sample is None or (type(sample) not in VALUES and not hasattr(sample, name)):
            if isinstance(sample, ResolverMatch):
                raise _missing(entry, sample, name)
            return
        if name.isdecimal():
            return
        if not hasattr(sample, name):
            raise _missing(entry, sample, name)
        sample = _read(entry, sample, name)


def check_field(entry: SettingReader, key: str, path: Any, field: Any, types: tuple[type, ...]) -> None:
    """Raise SettingError if a field can never hold a value of these types; `field` is None if it is not known."""
    if field is None or _may_hold(field, types):
        return
    wanted, instead = WANTED[types]
    if types is IDS and field.is_relation and field.concrete and not field.many_to_many:
        instead = repr(path.removesuffix(field.name) + field.attname)
    message = f"has {key}={path!r}, and {field} never holds {wanted}"
    raise entry.error(message, f"Give {instead}, or a callable that returns {wanted}.", code="E008")


def _may_hold(field: Any, types: Collection[type]) -> bool:
    if field.is_relation or isinstance(field, (BinaryField, FileField)):
        return False
    value = _value(field)
    return value is None or type(value) in types


def is_text(field: Any) -> bool:
    """Return whether a field is one of Django's for texts."""
    return isinstance(_value(field), str)


def request_sample() -> HttpRequest:
    request = HttpRequest()
    request.method = "GET"
    request.resolver_match = ResolverMatch(response_sample, (), {})
    return request


def response_sample() -> HttpResponse:
    return HttpResponse()


def _sample(field: Any) -> Any:
    """Return a sample of what a field of Django holds; None if it may hold anything.

    Fields with choices may: their values may be members of an enumeration.
    """
    return None if getattr(field, "choices", None) else _value(field)


def _value(field: Any) -> Any:
    """Return a sample of the values of a field of Django; None for one of another package, which may hold anything."""
    is_known = isinstance(field, Field) and type(field).__module__ == "django.db.models.fields"
    return SAMPLES.get(field.get_internal_type()) if is_known else None


def _read(entry: SettingReader, sample: Any, name: str) -> Any:
    """Return the attribute of a sample, and what it returns if it is a method of a value; None if that is unknown."""
    try:
        found = getattr(sample, name)
        if not callable(found):
            return found
        return found() if type(sample) in VALUES else None
    except TypeError as error:
        message = f"refers to {name!r} of the type {type(sample).__name__}, which needs arguments"
        raise entry.error(message, READ_ONLY, code="E008") from error
    except Exception:  # depends on the value
        return None


def _missing(entry: SettingReader, sample: Any, name: str) -> Exception:
    known = [each for each in dir(sample) if not each.startswith("_")]
    message = f"refers to {name!r}, which the type {type(sample).__name__} does not have"
    return entry.error(message, suggest(name, known), code="E008")
