"""What a ratio divides, and by what: a sum, a percentile or a distinct count of a metric, of some label sets or all."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.labels import decode_labels
from ..core.numbers import Number
from ..core.setting_rules import SettingReader
from ..core.summary import Summary, distinct, percentile
from ..core.validation import check_labels
from ..models.percentiles import PERCENTS

EXAMPLE = '"requests", or {"slug": "requests", "labels": {"status": "5xx"}, "field": "count"}'
KEYS = ("slug", "labels", "field", "days")
COUNT, TOTAL = SUMS = ("count", "total")
# The percentages of percentiles, by field.
PERCENTILES = {f"p{percent}": percent for percent in PERCENTS}
DISTINCT = "unique"
FIELDS = (*SUMS, DISTINCT, *PERCENTILES)
# A year that has a leap day. Each of the days is read.
MOST_DAYS = 366


class Operand(NamedTuple):
    """A sum, a percentile or the distinct count of a metric, of the label sets that have all of `labels` together.

    It is read over the `days` that end with the last day of the period, or with today if the period is not over; with 0
    over the period itself.
    """

    slug: str
    labels: tuple[tuple[str, str], ...] = ()
    field: str = TOTAL
    days: int = 0

    def covers(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(name) == value for name, value in self.labels)

    @property
    def is_percentile(self) -> bool:
        return self.field in PERCENTILES

    @property
    def reads_label_sets(self) -> bool:
        """Whether the database cannot merge the label sets: some have to be chosen, or sketches to be merged."""
        return bool(self.labels) or self.is_percentile or self.field == DISTINCT

    def read(self, summary: Summary | None) -> Number | None:
        """Return the number of a summary; None if it is unknown, as a percentile is without numbers."""
        if self.is_percentile:
            return percentile(summary, PERCENTILES[self.field]) if summary else None
        if summary is None:
            return 0
        return distinct(summary) if self.field == DISTINCT else getattr(summary, self.field)


def read_operand(entry: SettingReader, key: str, value: Any) -> Operand:
    reader = entry.entry(key)
    if isinstance(value, str):
        return Operand(reader.slug(value))
    reader.check_mapping(value, EXAMPLE)
    reader.check_keys(value, KEYS)
    if "slug" not in value:
        raise reader.error("lacks 'slug'", f"Write it like this: {EXAMPLE}.")
    field = reader.choice("field", value.get("field", TOTAL), FIELDS)
    days = _days(reader, value["days"]) if "days" in value else 0
    return Operand(reader.slug(value["slug"]), _labels(reader, value.get("labels")), field, days)


def _days(reader: SettingReader, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MOST_DAYS:
        raise reader.error(f"has days={value!r}", f"Give a whole number from 1 to {MOST_DAYS}.")
    return value


def _labels(reader: SettingReader, value: Any) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(sorted(decode_labels(check_labels(value)).items()))
    except (TypeError, ValueError) as error:
        raise reader.error(f"has labels={value!r}", str(error)) from error
