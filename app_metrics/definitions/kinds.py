"""The kinds of definitions; calling one records."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from ..core.summary import COUNTER, DISTRIBUTION, GAUGE, TIMER, UNIQUE
from ..recording import metrics
from ..recording.metrics import record
from .definition import Definition, Text


class Counter(Definition):
    """A counter that is defined in code; calling it counts, as `metric()` does.

    `labels` are the names of its labels; a call may leave some out. `name` (default: the slug), `unit`, `description`
    and `better` are those of `create_metric()`; they may be lazy translations, which are stored in LANGUAGE_CODE.

    Raises TypeError or ValueError for a bad argument, whatever APP_METRICS_STRICT says.
    """

    kind = COUNTER

    def __call__(
        self,
        num: int | Decimal | str = 1,
        /,
        *,
        at: datetime | None = None,
        on_commit: bool = False,
        using: str | None = None,
        **labels: str,
    ) -> None:
        """Add `num` (default: 1); see `metric()` for the other arguments. Any further ones are labels.

        A label that is not defined raises ValueError if APP_METRICS_STRICT is true; otherwise that is logged, and the
        number is dropped.
        """
        if self._takes(labels):
            record(self.slug, COUNTER, num, labels or None, at, on_commit, using)


class Gauge(Definition):
    """A gauge that is defined in code; calling it records a value, as `gauge()` does. See `Counter`."""

    kind = GAUGE

    def __call__(self, value: float | Decimal | str, /, *, at: datetime | None = None, **labels: str) -> None:
        """Record the current value. See `Counter` for labels."""
        if self._takes(labels):
            record(self.slug, GAUGE, value, labels or None, at)


class Distribution(Definition):
    """A distribution that is defined in code; calling it records a value, as `distribution()` does. See `Counter`."""

    kind = DISTRIBUTION

    def __call__(
        self,
        value: float | Decimal | str,
        /,
        *,
        at: datetime | None = None,
        on_commit: bool = False,
        **labels: str,
    ) -> None:
        """Record one of many values; see `distribution()` for the other arguments, and `Counter` for labels."""
        if self._takes(labels):
            record(self.slug, DISTRIBUTION, value, labels or None, at, on_commit)


class Unique(Definition):
    """A unique count that is defined in code; calling it counts an id once, as `unique()` does. See `Counter`."""

    kind = UNIQUE

    def __call__(
        self,
        value: int | str | UUID | Decimal,
        /,
        *,
        at: datetime | None = None,
        on_commit: bool = False,
        using: str | None = None,
        **labels: str,
    ) -> None:
        """Count an id once in each period; see `unique()` for the other arguments, and `Counter` for labels."""
        try:
            if self._takes(labels):
                record(self.slug, UNIQUE, value, labels or None, at, on_commit, using)
        except Exception:
            del value  # as in `unique()`
            raise


class Timer(Definition):
    """A timer that is defined in code; calling it makes an `app_metrics.Timer` for one block. See `Counter`.

    Its unit is the second.
    """

    kind = TIMER

    def __init__(
        self, slug: str, *, labels: Sequence[str] = (), name: Text = "", description: Text = "", better: str = ""
    ) -> None:
        super().__init__(slug, labels=labels, name=name, description=description, better=better)

    def __call__(self, /, **labels: str) -> metrics.Timer:
        """Return a new timer: `with export():`, or its `start()` and `stop()`. See `Counter` for labels."""
        return metrics.Timer(self.slug, labels=labels or None) if self._takes(labels) else _Unrecorded(self.slug)


class _Unrecorded(metrics.Timer):
    """A timer whose labels were refused: its block runs, and was dropped already."""

    def _record(self, seconds: float) -> None:
        pass
