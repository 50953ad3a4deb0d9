"""The key `backfill` of a model rule: the date field that holds the moment at which a row was created."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import DateField, DateTimeField, Model

from ..conf import settings, time_zone
from ..core.calendar import as_stored, aware
from ..core.periods import midnight
from ..core.setting_rules import SettingReader, suggest
from ..core.validation import check_time

CREATED = "created"


@dataclass(frozen=True, slots=True)
class RowDate:
    """A date field of a model. A date without a time means its midnight in the metrics time zone."""

    field: Any

    @property
    def has_time(self) -> bool:
        return isinstance(self.field, DateTimeField)

    def of(self, instance: Model) -> datetime | None:
        """Return when a row was created; None if it has no date, or one outside the range that can be recorded."""
        return self.moment(getattr(instance, self.field.attname))

    def moment(self, value: Any) -> datetime | None:
        """Return the aware moment of a value of the field; a naive one is in TIME_ZONE. None if it has none."""
        try:
            found = self.field.to_python(value)
            if isinstance(found, datetime):
                found = aware(found)
            elif found is not None:
                found = midnight(found, time_zone())
            check_time(found)
        except (ValidationError, TypeError, ValueError, OverflowError):
            return None
        return found  # type: ignore[no-any-return]

    def bounds(self, first: date, last: date) -> tuple[Any, Any]:
        """Return bounds of the field's values that include all rows of the days from `first` until before `last`.

        They are a little wider: if clocks go back over midnight, or naive times jump, a day begins before the previous
        one has ended.
        """
        if not self.has_time:
            return first, last
        zone = time_zone()
        wider = timedelta(hours=1) if settings.USE_TZ else timedelta(days=1)
        return as_stored(midnight(first, zone) - wider), as_stored(midnight(last, zone) + wider)


def compile_row_date(model: type[Model], event: str, entry: SettingReader, value: Any) -> RowDate:
    """Return the date field that the key names. Raises SettingError."""
    if event != CREATED:
        hint = f"Move the key to a rule of {CREATED!r}, or remove it."
        raise entry.error(f"has the key 'backfill' on the event {event!r}", hint)
    if model._meta.proxy:
        hint = f"Move the rule to {model._meta.concrete_model._meta.label}, or remove the key."  # type: ignore[union-attr]
        raise entry.error("has the key 'backfill', but rows do not show which proxy model created them", hint)
    dated = [field.name for field in model._meta.concrete_fields if isinstance(field, DateField)]
    try:
        field = model._meta.get_field(value)
    except FieldDoesNotExist as error:
        message = f"refers to {value!r}, which {model._meta.label} does not have"
        raise entry.error(message, suggest(value, dated), code="E008") from error
    if not isinstance(field, DateField):
        raise entry.error(f"refers to {value!r}, which is not a date field", suggest(value, dated), code="E008")
    return RowDate(field)
