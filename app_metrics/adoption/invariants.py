"""Compare what was written for a metric with its old rows."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from ..core.numbers import add, less, plain
from ..core.periods import DAY, YEAR, Period
from ..models import Item, Total
from .history import SUMS, History


@dataclass(frozen=True, slots=True)
class Checked:
    """The sums of a metric before and after."""

    slug: str
    days: int
    # By period, days included: the sum of what is stored, and the part of it whose days were deleted.
    stored: dict[Period, Any]
    older: dict[Period, int]
    all_time: int
    lacking: int
    pending: int
    pending_after: Any

    @classmethod
    def planned(cls, slug: str, history: History) -> "Checked":
        """Return the sums that are going to be stored."""
        stored: dict[Period, Any] = dict.fromkeys((DAY, *SUMS), 0)
        for (period, _), summary in history.totals.items():
            stored[period] = add(stored[period], summary.total)
        return cls._of(slug, history, stored, history.pending_sum)

    @classmethod
    def _of(cls, slug: str, history: History, stored: dict[Period, Any], pending_after: Any) -> "Checked":
        before = history.days, stored, history.older, history.all_time, history.lacking, history.pending_sum
        return cls(slug, *before, pending_after)

    @property
    def all_time_after(self) -> Any:
        return self.stored[YEAR]

    @property
    def holds(self) -> bool:
        """Whether days, weeks, months and years agree, and nothing was lost or added."""
        return (
            self.stored[DAY] == self.days
            and all(self.stored[period] - self.older[period] == self.days for period in SUMS)
            and self.all_time_after == self.all_time + self.lacking
            and self.pending_after == self.pending
        )

    def __str__(self) -> str:
        sums = " = ".join(f"{period}s {plain(self._own(period))}" for period in (DAY, *SUMS))
        older = ", ".join(f"{period}s {number}" for period, number in self.older.items() if number)
        parts = [sums, f"without days: {older}" if older else "", self._all_time()]
        parts.append(f"pending {self.pending} before, {plain(self.pending_after)} after")
        return f"{self.slug}: {'; '.join(each for each in parts if each)}"

    def _own(self, period: Period) -> Any:
        return self.stored[period] - self.older.get(period, 0)

    def _all_time(self) -> str:
        lacking = f" ({self.lacking} that the old years lacked)" if self.lacking else ""
        return f"all-time {self.all_time} before, {plain(self.all_time_after)} after{lacking}"


class Stored(NamedTuple):
    """What is stored for a metric: the sum of its totals by period, and that of its pending items."""

    totals: dict[Period, Any]
    pending: Any


def stored(connection: Any, metric: int, slug: str) -> Stored:
    """Read what is stored for a metric."""
    totals: dict[Period, Any] = dict.fromkeys((DAY, *SUMS), Decimal(0))
    rows = Total.objects.using(connection.alias).filter(metric_id=metric, period__in=totals)
    for period, total in rows.values_list("period", "total").iterator():
        totals[Period(period)] = add(totals[Period(period)], total)
    pending: Any = Decimal(0)
    for total in Item.objects.using(connection.alias).filter(slug=slug).values_list("total", flat=True).iterator():
        pending = add(pending, total)
    return Stored(totals, pending)


def compare(slug: str, history: History, before: Stored, after: Stored) -> Checked:
    """Return the sums that were added to what the site had counted before, after an earlier run was killed."""
    added = {period: less(total, before.totals[period]) for period, total in after.totals.items()}
    return Checked._of(slug, history, added, less(after.pending, before.pending))
