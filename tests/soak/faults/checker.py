"""Compare what was acknowledged with what was counted: `acknowledged ≤ counted ≤ acknowledged + undecided`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.soak.faults.journal import Account, Event, counts_of

PERIODS = ("hour", "day", "week", "month", "year")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of events; `lost` and `doubled` are those of the worst period.

    `settled` is the number of undecided events that were counted. `doubled` includes events that were never recorded.
    `altered` names the sketches that are not those of a run without faults.
    """

    acknowledged: int
    counted: int
    undecided: int
    settled: int
    lost: int
    doubled: int
    differing: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.differing or self.altered)

    def __str__(self) -> str:
        wrong = [f"{what} {number}" for what, number in (("lost", self.lost), ("doubled", self.doubled)) if number]
        if self.differing:
            wrong.append(f"periods differ: {', '.join(self.differing)}")
        if self.altered:
            wrong.append(f"{len(self.altered)} sketches differ: {', '.join(self.altered[:3])}")
        return ", ".join(wrong) or (f"within undecided ({self.undecided})" if self.undecided else "exact")


def check(account: Account, counted: Mapping[str, Counter[Event]], altered: Iterable[str] = ()) -> Verdict:
    """Compare an account of what was recorded with the totals of the five periods."""
    acknowledged, undecided = counts_of(account.acknowledged), counts_of(account.undecided)
    lost = {period: (acknowledged - counted[period]).total() for period in PERIODS}
    allowed = acknowledged + undecided
    doubled = {period: (counted[period] - allowed).total() for period in PERIODS}
    year = counted["year"]
    return Verdict(
        acknowledged=acknowledged.total(),
        counted=year.total(),
        undecided=undecided.total(),
        settled=((year & allowed) - acknowledged).total(),
        lost=max(lost.values()),
        doubled=max(doubled.values()),
        differing=tuple(period for period in PERIODS if counted[period] != year),
        altered=tuple(altered),
    )
