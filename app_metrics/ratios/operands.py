"""What a ratio divides, and by what: a sum of one metric, of all its label sets or some of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.labels import decode_labels
from ..core.setting_rules import SettingReader
from ..core.validation import check_labels

EXAMPLE = '"requests", or {"slug": "requests", "labels": {"status": "5xx"}, "field": "count"}'
KEYS = ("slug", "labels", "field")
COUNT, TOTAL = FIELDS = ("count", "total")


class Operand(NamedTuple):
    """A field of a metric's summary, summed over the label sets that have all of `labels`."""

    slug: str
    labels: tuple[tuple[str, str], ...] = ()
    field: str = TOTAL

    def covers(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(name) == value for name, value in self.labels)


def read_operand(entry: SettingReader, key: str, value: Any) -> Operand:
    reader = entry.entry(key)
    if isinstance(value, str):
        return Operand(reader.slug(value))
    reader.check_mapping(value, EXAMPLE)
    reader.check_keys(value, KEYS)
    if "slug" not in value:
        raise reader.error("lacks 'slug'", f"Write it like this: {EXAMPLE}.")
    field = reader.choice("field", value.get("field", TOTAL), FIELDS)
    return Operand(reader.slug(value["slug"]), _labels(reader, value.get("labels")), field)


def _labels(reader: SettingReader, value: Any) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(sorted(decode_labels(check_labels(value)).items()))
    except (TypeError, ValueError) as error:
        raise reader.error(f"has labels={value!r}", str(error)) from error
