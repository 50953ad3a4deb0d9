"""What all definitions have in common, and the list of those that exist."""

import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

from django.utils.functional import Promise

from .. import conf
from ..core.comparisons import BETTER
from ..core.setting_rules import suggest
from ..core.validation import MAX_NAME_LENGTH, MAX_UNIT_LENGTH, check_labels, check_slug, storable_text
from ..recording.metrics import refuse

PACKAGE = __name__.rpartition(".")[0]
# Arguments of a call, which would hide a label.
ARGUMENTS = ("at", "on_commit", "using")

Text = str | Promise

# Those of modules live for ever; one that a function makes is forgotten with it.
_existing: WeakKeyDictionary["Definition", None] = WeakKeyDictionary()


class Definition:
    """A metric that is defined in code. Its kinds are `Counter`, `Gauge`, `Timer`, `Distribution` and `Unique`."""

    kind: ClassVar[str]

    def __init__(
        self,
        slug: str,
        *,
        labels: Sequence[str] = (),
        name: Text = "",
        unit: Text = "",
        description: Text = "",
        better: str = "",
    ) -> None:
        self.slug = check_slug(slug)
        self.labels = _checked_names(slug, labels)
        self._name = _checked("name", name, MAX_NAME_LENGTH)
        self._unit = _checked("unit", unit, MAX_UNIT_LENGTH)
        self._description = _checked("description", description, None)
        if better not in ("", *BETTER):
            raise ValueError(f"better={better!r} is unknown; choose one of {', '.join(BETTER)}.")
        self._better = better
        self.module = _calling_module()
        _existing[self] = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.slug!r})"

    @property
    def texts(self) -> dict[str, str]:
        """What people read about the metric, by the fields of its model. Raises ValueError for a bad translation."""
        return {
            "name": storable_text("name", self._name, MAX_NAME_LENGTH) or self.slug,
            "unit": storable_text("unit", self._unit, MAX_UNIT_LENGTH),
            "description": storable_text("description", self._description, None),
            "better": self._better,
        }

    def _takes(self, labels: Mapping[str, str]) -> bool:
        """Return whether all labels are defined. Otherwise raise ValueError if APP_METRICS_STRICT is true, or drop."""
        if labels.keys() <= self.labels or conf.disabled:
            return True
        unknown = next(label for label in labels if label not in self.labels)
        hint = suggest(unknown, sorted(self.labels)) if self.labels else f"Define it with labels=[{unknown!r}]."
        refuse(ValueError(f"{self!r} has no label {unknown!r:.100}. {hint}"), self.slug)
        return False


def existing() -> list[Definition]:
    """Return all definitions in modules that were imported, by slug; those of one slug as they were made."""
    return sorted(_existing, key=lambda each: each.slug)


def _checked(field: str, text: Text, limit: int | None) -> Text:
    # A lazy translation is checked when it is read: languages are not loaded yet.
    return text if isinstance(text, Promise) else storable_text(field, text, limit)


def _checked_names(slug: str, labels: Sequence[str]) -> frozenset[str]:
    if not isinstance(labels, (list, tuple, set, frozenset)):
        raise TypeError(f"The labels of {slug!r} are {labels!r:.100}; give a list of names.")
    check_labels(dict.fromkeys(labels, ""))
    if taken := [name for name in ARGUMENTS if name in labels]:
        raise ValueError(f"The label {taken[0]!r} of {slug!r} is an argument of a call; give it another name.")
    return frozenset(labels)


def _calling_module() -> str:
    """Return the name of the module that defines a metric, for messages."""
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{PACKAGE}."):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))
