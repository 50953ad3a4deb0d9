"""Rules of URLs, models and signals: what to count, and when."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .. import conf
from ..core.dropped import FAILED_RULE, drop, warn_once
from ..core.numbers import Number, exact
from ..core.plain_text import brief
from ..core.summary import COUNTER, UNIQUE
from ..core.validation import check_number, fit_labels, fit_text
from ..recording.metrics import record
from .paths import Getter, RuleSource

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")

# The options that may name further metrics: a timer, and counters of messages.
TIMING, RECEIVED, SENT = "timing", "received", "sent"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `num` is None if the rule counts one; `options` holds the keys of its setting.

    If `several` is true, `num` returns any number of events. `better` says which change of the metric is good news.
    """

    origin: str
    slug: str
    kind: str = COUNTER
    better: str = ""
    num: Getter | None = None
    labels: Mapping[str, Getter] = field(default_factory=dict)
    when: Getter | None = None
    several: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        """Whether firing reads anything from a source."""
        return bool(self.num or self.labels or self.when)

    @property
    def slugs(self) -> list[str]:
        """The metrics that the rule records: its own, and those that its options name."""
        return [self.slug, *(self.options[key] for key in (TIMING, RECEIVED, SENT) if key in self.options)]

    @property
    def relations(self) -> set[str]:
        """The relations that firing follows from an instance, as select_related() takes them."""
        getters = (self.num, self.when, *self.labels.values())
        return {path for getter in getters for path in getattr(getter, "relations", ())}

    def fire(
        self, source: RuleSource, record_event: Callable[..., Any] = record, num: int = 1
    ) -> dict[str, str] | None:
        """Record what happened, if the rule applies to a source; return its labels, or None if it does not apply.

        `num` is recorded if the rule has none. Without a value, only a counter is recorded. An error is never raised;
        the event is then dropped as "failed_rule". If `when` fails, the rule does not apply.
        """
        if conf.disabled:
            return None
        labels: dict[str, str] | None = None
        try:
            if self.when is not None and not self.when(source):
                return None
            labels = self.read_labels(source) if self.labels else {}
            if self.num is None:  # the usual case
                record_event(self.slug, self.kind, num, labels or None)
                return labels
            value: Any = self.num(source)
            if value is None and (self.several or self.kind != COUNTER):
                return labels
            if self.several:
                self._record_each(value, labels, record_event)
            else:
                record_event(self.slug, self.kind, value if self.kind == UNIQUE else _number(value), labels or None)
        except Exception as error:
            drop(FAILED_RULE, f"{self.origin}: {brief(error)}", source=self.origin)
        return labels

    def _record_each(self, events: Iterable[Any], labels: Mapping[str, str], record_event: Callable[..., Any]) -> None:
        for event in events:
            try:
                number, more = _event(event)
                record_event(self.slug, self.kind, number, fit_labels({**labels, **more}) or None)
            except Exception as error:  # the others count
                drop(FAILED_RULE, f"{self.origin}: {brief(error)}", source=self.origin)

    def read_num(self, source: RuleSource) -> Number:
        """Return the number of an event; a float is rounded to nine decimal places. Raises TypeError or ValueError."""
        return _number(self.num(source))  # type: ignore[misc]

    def read_labels(self, source: RuleSource) -> dict[str, str]:
        return fit_labels({name: self._label(name, getter, source) for name, getter in self.labels.items()})

    def _label(self, name: str, getter: Getter, source: RuleSource) -> str:
        try:
            value = getter(source)
            return _text(value)
        except Exception as error:
            cause = f"{self.origin}: the label {name!r} is empty, because reading it failed: {brief(error)}"
            warn_once(cause, source=self.origin)
            return ""


def _event(event: Any) -> tuple[Number, dict[str, str]]:
    """Return the number and the labels of one of several events: a number, or a mapping of both."""
    if not isinstance(event, Mapping):
        return _number(event), {}
    if not event.keys() <= {"num", "labels"}:
        raise ValueError(f"an event has the keys {sorted(event)}; give only 'num' and 'labels'")
    labels = {name: _text(value) for name, value in event.get("labels", {}).items()}
    return _number(event.get("num", 1)), labels


def _number(value: Any) -> Number:
    if isinstance(value, str) and _NUMBER.fullmatch(value):  # headers and parameters of a request are text
        value = Decimal(value)
    return exact(check_number(value, "rule"))


def _text(value: Any) -> str:
    """Return the text of a label's value, which may come from a visitor, without characters that databases refuse."""
    return "" if value is None else fit_text(str(value))
