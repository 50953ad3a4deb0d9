"""When metrics were first and last recorded, pending items included."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import CharField, F, Max, Min, Value

from ..conf import time_zone
from ..core.calendar import start_of
from ..core.periods import DAY, LONGEST, MONTH, YEAR
from ..core.summary import MICROSECONDS
from ..models import Item, Total
from ..models.pending import pending_batches


def last_recorded(slugs: Iterable[str], apart: Iterable[str] = ()) -> dict[tuple[str, str], int]:
    """Return when each slug was last recorded, in microseconds of Unix time; one query.

    The keys are pairs of slug and label set. The label set is an empty text, which stands for all label sets of the
    slug; only slugs in `apart` have an entry for each label set.
    """
    slugs, apart = set(slugs), set(apart)
    parts = [*_parts(slugs - apart, Value("", CharField())), *_parts(apart, F("labels"))]
    if not parts:
        return {}
    first, *others = [part.order_by().values("of", "text").annotate(at=Max("last_at")) for part in parts]
    found: dict[tuple[str, str], int] = {}
    for row in first.union(*others, all=True):
        key = (row["of"], row["text"])
        found[key] = max(row["at"], found.get(key, 0))
    for key, last_at in _in_pending_batches(slugs, apart):
        found[key] = max(last_at, found.get(key, 0))
    return found


def first_recorded(slugs: Iterable[str], labels: str) -> date | None:
    """Return the first date on which a label set that contains a text was recorded, pending or not; two queries.

    If the totals of days or months were pruned, it is the first date of the month or year. None if there is none.
    """
    slugs = list(slugs)
    waiting = (key for batch in pending_batches(slugs).batches for key in batch.summaries if labels in key.labels)
    elsewhere = min((key.day for key in waiting), default=None)
    totals = Total.objects.filter(metric__slug__in=slugs, period__in=(YEAR, MONTH, DAY), labels__contains=labels)
    pending = Item.objects.filter(slug__in=slugs, labels__contains=labels).aggregate(first=Min("day"))["first"]
    starts = dict(totals.order_by().values_list("period").annotate(first=Min("start")))
    first = starts.get(YEAR)
    for longer, period in ((YEAR, MONTH), (MONTH, DAY)):
        start = starts.get(period)
        if start is None or start_of(longer, start) != first:
            break
        first = start
    return min((each for each in (first, pending, elsewhere) if each), default=None)


def date_of(last_at: int) -> date:
    """Return the date of a time in microseconds of Unix time; a time in the future counts as now."""
    return datetime.fromtimestamp(max(0, min(last_at / MICROSECONDS, time.time())), UTC).astimezone(time_zone()).date()


def _in_pending_batches(slugs: set[str], apart: set[str]) -> Iterator[tuple[tuple[str, str], int]]:
    # A batch that is counted meanwhile appears twice, which does not change the latest time.
    for batch in pending_batches(slugs | apart).batches:
        for key, summary in batch.summaries.items():
            yield (key.slug, key.labels if key.slug in apart else ""), summary.last_at


def _parts(slugs: set[str], text: Any) -> Iterator[Any]:
    if slugs:
        yield Item.objects.filter(slug__in=slugs).annotate(of=F("slug"), text=text)
        yield Total.objects.filter(metric__slug__in=slugs, period=LONGEST).annotate(of=F("metric__slug"), text=text)
