"""The key `timing` as a mapping: the seconds from one date to another."""

from dataclasses import dataclass
from datetime import timedelta

from ..core.calendar import comparable
from .paths import Getter, RuleSource

EXAMPLE = '{"from": "created_at", "to": "paid_at"}'


@dataclass(frozen=True, slots=True)
class Duration:
    begin: Getter
    end: Getter

    @property
    def relations(self) -> tuple[str, ...]:
        return tuple(path for getter in (self.begin, self.end) for path in getattr(getter, "relations", ()))

    def __call__(self, source: RuleSource) -> float | None:
        """Return the seconds; None if a date is missing. Raises ValueError if the second is before the first."""
        begin, end = self.begin(source), self.end(source)
        if begin is None or end is None:
            return None
        passed = comparable(end) - comparable(begin)
        if not isinstance(passed, timedelta):
            raise TypeError(f"{begin!r} and {end!r} are not dates")
        if passed < timedelta():
            raise ValueError(f"{end!r} is before {begin!r}")
        return passed.total_seconds()
