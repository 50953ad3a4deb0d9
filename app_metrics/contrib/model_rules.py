"""`APP_METRICS_MODELS`: count what happens to models, once it is committed.

A rule on a model covers its proxies. It does not cover models that inherit it with a table of their own: Django sends
a save of those in their own name alone, while it deletes the parent's row, and says so, in the name of each. Nor does
it cover `bulk_create()`, `bulk_update()` and `QuerySet.update()`, which send nothing.

What a rollback undoes is not counted, with one exception: Django's `on_commit` does not notice a rollback to a
savepoint that was made by hand, with `transaction.savepoint()`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db.models import Model, signals
from django.dispatch import Signal, receiver

from ..conf import settings
from ..core.setting_rules import SettingError, entries, suggest
from ..recording.metrics import metric
from .auth import auth_models
from .connections import Connections
from .row_dates import CREATED, RowDate, compile_row_date
from .rules import READ_ONLY, Getter, Parser, Rule, alters_data, attribute_path, imported

SETTING = "APP_METRICS_MODELS"
EVENTS_EXAMPLE = '{"created": "new_orders"}'
EXAMPLE = f'{{"shop.Order": {EVENTS_EXAMPLE}}}'

Amount = Callable[[Mapping[str, Any]], int]


def _created(sent: Mapping[str, Any]) -> int:
    return int(sent["created"] and not sent["raw"])


def _updated(sent: Mapping[str, Any]) -> int:
    return int(not sent["created"] and not sent["raw"])


def _saved(sent: Mapping[str, Any]) -> int:
    return int(not sent["raw"])  # a fixture being loaded is not an event


def _deleted(sent: Mapping[str, Any]) -> int:
    return 1


def _related(sent: Mapping[str, Any]) -> int:
    return len(sent["pk_set"] or ()) if sent["action"] in ("post_add", "post_remove") else 0


# What a rule may be mapped to: the signal, and how many events it tells of.
EVENTS: dict[str, tuple[Signal, Amount]] = {
    CREATED: (signals.post_save, _created),
    "updated": (signals.post_save, _updated),
    "deleted": (signals.post_delete, _deleted),
    "pre_save": (signals.pre_save, _saved),
    "post_save": (signals.post_save, _saved),
    "pre_delete": (signals.pre_delete, _deleted),
    "post_delete": (signals.post_delete, _deleted),
    "m2m_changed": (signals.m2m_changed, _related),
}

CompiledRules = list[tuple[type[Model], str, list[Rule]]]

# The key that names the date of a row, for filling and verifying totals.
BACKFILL = "backfill"

_connections = Connections()


def connect() -> None:
    """Connect the receivers that the settings ask for, in place of those connected before."""
    _connections.clear()
    for model, event, rules in configured():
        signal, amount = EVENTS[event]
        receive = partial(_receive, rules, amount)
        for sender in _senders(model, event):
            _connections.connect(signal, receive, sender)


def configured() -> CompiledRules:
    """Return the rules of the settings that are right; `check` tells the others."""
    return [each for setting in (settings.APP_METRICS_MODELS, auth_models()) for each in compile_models(setting)[0]]


def compile_models(setting: Any, name: str = SETTING) -> tuple[CompiledRules, list[SettingError]]:
    """Return the rules that are right, and the mistakes; `name` is what these say they are in."""
    compiled: CompiledRules = []
    errors: list[SettingError] = []
    try:
        for label, events in entries(name, setting, EXAMPLE):
            compiled += _compile_model(label, events, f"{name}[{label!r}]", errors)
    except SettingError as error:
        errors.append(error)
    return compiled, errors


def _compile_model(
    label: str, events: Any, origin: str, errors: list[SettingError]
) -> Iterator[tuple[type[Model], str, list[Rule]]]:
    try:
        model = _model(label, origin)
        for event, value in entries(origin, events, EVENTS_EXAMPLE):
            mistake = _mistaken_event(model, event, origin)
            if mistake:
                errors.append(mistake)
                continue
            options = {BACKFILL: partial(compile_row_date, model, event)}
            rules, mistakes = Parser(f"{origin}[{event!r}]", partial(_reference, model), options).parse(value)
            errors += mistakes
            yield model, event, rules
    except SettingError as error:
        errors.append(error)


def _mistaken_event(model: type[Model], event: str, origin: str) -> SettingError | None:
    if event not in EVENTS:
        return SettingError("E004", f"{origin} has the unknown event {event!r}.", suggest(event, list(EVENTS)))
    if event == "m2m_changed" and not model._meta.local_many_to_many and model not in _tables_between():
        return SettingError(
            "E004", f"{origin} has m2m_changed, but the model declares no many-to-many relation.",
            "Name the model that declares the relation, or the one of the table between: "
            f"{', '.join(sorted(each._meta.label for each in _tables_between()))}.",
        )  # fmt: skip
    return None


def _tables_between() -> set[Any]:
    return {relation.remote_field.through for each in apps.get_models() for relation in each._meta.local_many_to_many}


def _model(label: str, origin: str) -> type[Model]:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError) as error:
        known = [each._meta.label for each in apps.get_models(include_auto_created=True)]
        raise SettingError("E003", f"{origin} names no installed model.", suggest(label, known)) from error
    if model._meta.swapped:
        return _model(model._meta.swapped, origin)
    if model._meta.app_label == "app_metrics":
        raise SettingError("E003", f"{origin} would have app_metrics count itself.", "Remove this entry.")
    return model


def _senders(model: type[Model], event: str) -> Iterator[Any]:
    """Yield whom a signal names as its sender: a model and its proxies, or the tables between related models."""
    if event == "m2m_changed":
        yield from [relation.remote_field.through for relation in model._meta.local_many_to_many] or [model]
        return
    concrete = model._meta.concrete_model
    yield from (each for each in apps.get_models() if issubclass(each, model) and each._meta.concrete_model is concrete)


def _receive(rules: list[Rule], amount: Amount, /, *, instance: Model, using: str | None = None, **sent: Any) -> None:
    num = amount(sent)
    if num:
        for rule in rules:
            rule.fire(instance, partial(_record, rule.options.get(BACKFILL), instance, using), num)


def _record(
    dated: RowDate | None, instance: Model, using: str | None, slug: str, num: Any, labels: dict[str, str]
) -> None:
    # Totals of the hour of the row's own date can be told from the table again.
    metric(slug, num, labels=labels, at=dated.of(instance) if dated else None, on_commit=True, using=using)


@dataclass(frozen=True, slots=True)
class InstancePath:
    """An attribute path from an instance; `relations` leads to the row that holds its end, as select_related() says."""

    get: Getter
    relations: str

    def __call__(self, instance: Model) -> Any:
        return self.get(instance)


def _reference(model: type[Model], value: Any) -> Getter:
    if callable(value):
        return value  # type: ignore[no-any-return]
    names = value.split(".")
    if len(names) > 1 and not hasattr(model, names[0]):
        return imported(value, f"an attribute path of {model._meta.label}")
    return InstancePath(attribute_path(names), "__".join(_relations(model, names)))


def _relations(model: type[Model], names: Sequence[str]) -> list[str]:
    """Return which names lead to single other rows, as far as that is known.

    Raises RuleError for a missing name, and for one that changes data.
    """
    fields = {field.name: field for field in model._meta.get_fields()}
    name, *rest = names
    if not hasattr(model, name):
        raise SettingError(
            "E008", f"refers to {name!r}, which {model._meta.label} does not have", suggest(name, [*fields])
        )
    if alters_data(getattr(model, name)):
        raise SettingError("E008", f"refers to {name!r} of {model._meta.label}, which changes data", READ_ONLY)
    related = getattr(fields.get(name), "related_model", None)
    if not isinstance(related, type) or fields[name].one_to_many or fields[name].many_to_many:
        return []
    return [name, *(_relations(related, rest) if rest else ())]


@receiver(setting_changed)
def _reconnect(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, "APP_METRICS_AUTH", "AUTH_USER_MODEL"):
        connect()
