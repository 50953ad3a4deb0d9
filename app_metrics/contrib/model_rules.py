"""`APP_METRICS_MODELS`: count what happens to models, after the commit.

A rule for a model covers its proxies, and its child models with tables of their own (multi-table inheritance). It
covers `bulk_create()`, `bulk_update()` and `update()` of a `CountedQuerySet`; those of others send no signals.

Changes that are rolled back are not counted, with one exception: Django's `on_commit` does not notice a rollback to a
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

from .. import conf
from ..conf import settings
from ..core.dropped import FAILED_RULE, drop
from ..core.setting_rules import SettingError, SettingReader, suggest
from ..recording.metrics import on_commit_together, record
from .auth import auth_models
from .initial_data import makes_initial_data
from .path_checks import check_model_path
from .paths import Getter, attribute_path, imported
from .querysets import IN_BULK
from .receivers import Receivers
from .row_dates import CREATED, RowDate, compile_row_date
from .rule_keys import Key, RuleReader, read_rules
from .rules import Rule

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


# Event → its signal, and how many events one such signal stands for.
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

_receivers = Receivers()


def connect() -> None:
    """Disconnect earlier receivers, and connect those that the settings require."""
    _receivers.disconnect_all()
    for model, event, rules in configured():
        signal, amount = EVENTS[event]
        receive = partial(_receive, rules, amount)
        for sender in _senders(model, event):
            _receivers.connect(signal, receive, sender)
            if event in IN_BULK:
                _receivers.connect(IN_BULK[event], partial(_receive_many, rules), sender)


def configured() -> CompiledRules:
    """Return the good rules in the settings; `manage.py check` reports the others."""
    return [each for setting in (settings.APP_METRICS_MODELS, auth_models()) for each in compile_models(setting)[0]]


def compile_models(setting: Any, name: str = SETTING) -> tuple[CompiledRules, list[SettingError]]:
    """Return the good rules, and the mistakes in the others; `name` is the name of the setting in these."""
    reader = SettingReader("E001", name)
    compiled: CompiledRules = []
    for entry, events in reader.entries(setting, EXAMPLE):
        with entry.catch():
            compiled += _compile_model(entry, _model(entry, entry.key), events)
    return compiled, reader.errors


def _compile_model(
    reader: SettingReader, model: type[Model], events: Any
) -> Iterator[tuple[type[Model], str, list[Rule]]]:
    for entry, value in reader.entries(events, EVENTS_EXAMPLE):
        with entry.catch():
            _check_event(reader, model, entry.key)
            reference, keys = partial(_reference, model), model_keys(model, entry.key)
            yield model, entry.key, read_rules(entry, value, reference, keys)


def model_keys(model: type[Model], event: str) -> Mapping[str, Key]:
    """Return the keys that only rules of models have."""

    def row_date(reader: RuleReader, value: Any) -> RowDate:
        for name in sorted({"distribution", "events", "gauge", "timing"} & reader.mapping.keys()):
            raise reader.entry.error(f"has the keys 'backfill' and {name!r}", "Keep one of them: it counts rows.")
        return compile_row_date(model, event, reader.entry, value)

    meaning = (
        "a date field of the model, for [filling in the past](backfill.md); the row counts in the hour of that date"
    )
    return {BACKFILL: Key(row_date, meaning)}


def _check_event(entry: SettingReader, model: type[Model], event: str) -> None:
    if event not in EVENTS:
        raise entry.error(f"has the unknown event {event!r}", suggest(event, list(EVENTS)), code="E004")
    if event == "m2m_changed" and not model._meta.local_many_to_many and model not in _tables_between():
        labels = ", ".join(sorted(each._meta.label for each in _tables_between()))
        raise entry.error(
            "has m2m_changed, but the model declares no many-to-many relation",
            f"Name the model that declares the relation, or the relation's through model: {labels}.",
            code="E004",
        )


def _tables_between() -> set[Any]:
    return {relation.remote_field.through for each in apps.get_models() for relation in each._meta.local_many_to_many}


def _model(entry: SettingReader, label: str) -> type[Model]:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError) as error:
        known = [each._meta.label for each in apps.get_models(include_auto_created=True)]
        raise entry.error("is not the name of an installed model", suggest(label, known), code="E003") from error
    if model._meta.swapped:
        return _model(entry, model._meta.swapped)
    if model._meta.app_label == "app_metrics":
        raise entry.error("would make app_metrics count itself", "Remove this entry.", code="E003")
    return model


def _senders(model: type[Model], event: str) -> Iterator[Any]:
    """Yield the senders of a signal: a model with its proxies and children, or the tables between related models.

    Django sends the signal of a save for the child alone, but those of a delete for each parent, too.
    """
    if event == "m2m_changed":
        yield from [relation.remote_field.through for relation in model._meta.local_many_to_many] or [model]
        return
    signal, _ = EVENTS[event]
    concrete, saves = model._meta.concrete_model, signal in (signals.pre_save, signals.post_save)
    for each in apps.get_models():
        if issubclass(each, model) and (saves or each._meta.concrete_model is concrete):
            yield each


def _receive(rules: list[Rule], amount: Amount, /, *, instance: Model, using: str | None = None, **sent: Any) -> None:
    num = amount(sent)
    if num and not makes_initial_data():
        for rule in rules:
            rule.fire(instance, partial(_record, rule.options.get(BACKFILL), instance, using), num)


def _receive_many(
    rules: list[Rule],
    /,
    *,
    num: int | None,
    rows: Sequence[Model] | None,
    why_unknown: str,
    using: str,
    **sent: Any,
) -> None:
    """Count what happened in bulk: rules that read rows count one by one, others count the number of rows at once."""
    if conf.disabled or makes_initial_data():
        return
    for rule in rules:
        dated = rule.options.get(BACKFILL)
        reads = rule.reads or dated
        if (rows if reads else num) is None:
            drop(FAILED_RULE, f"{rule.origin}: {why_unknown}", num or 1, source=rule.origin)
        elif reads:
            with on_commit_together(using):
                for row in rows or ():
                    rule.fire(row, partial(_record, dated, row, using))
        else:
            rule.fire(None, partial(_record, None, None, using), num or 0)


def _record(
    dated: RowDate | None, instance: Any, using: str | None, slug: str, kind: str, num: Any, labels: Any
) -> None:
    # With the row's own date, the totals can be filled in and verified from the table.
    record(slug, kind, num, labels, dated.of(instance) if dated else None, True, using)


@dataclass(frozen=True, slots=True)
class InstancePath:
    """A path from an instance.

    `relations` has the part of it that select_related() can follow, if any. `field` is the field at the end of the
    path, which may be a relation; it is None if the path ends elsewhere.
    """

    get: Getter
    relations: tuple[str, ...]
    field: Any

    @property
    def convert(self) -> Callable[[Any], Any] | None:
        """Return a function that returns a value as the field holds it; None if no value is at the end of the path."""
        return None if self.field is None or self.field.is_relation else self.field.to_python

    def __call__(self, instance: Model) -> Any:
        value, convert = self.get(instance), self.convert
        if convert is None:
            return value
        try:
            return convert(value)  # an instance has what was assigned, such as "3.50"
        except Exception:  # not a value, but an expression such as F("stock") - 1
            return value


def _reference(model: type[Model], entry: SettingReader, value: Any) -> Getter:
    if callable(value):
        return value  # type: ignore[no-any-return]
    names = value.split(".")
    if len(names) > 1 and not hasattr(model, names[0]):
        return imported(entry, value, f"an attribute path of {model._meta.label}")
    relations = check_model_path(entry, model, names)
    path = ("__".join(relations),) if relations else ()
    return InstancePath(attribute_path(names), path, _field(model, names))


def _field(model: type[Model], names: Sequence[str]) -> Any:
    """Return the field at the end of a path, which may be a relation; None if it ends elsewhere."""
    name, *rest = names
    field: Any = {field.name: field for field in model._meta.get_fields()}.get(name)
    if rest:
        related = getattr(field, "related_model", None)
        return _field(related, rest) if isinstance(related, type) else None
    return field


@receiver(setting_changed)
def _reconnect(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, "APP_METRICS_AUTH", "AUTH_USER_MODEL"):
        connect()
