"""When metrics were last recorded, and since when, waiting items included."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import CharField, F, Max, Min, Value

from ..conf import first_weekday, time_zone
from ..core.periods import DAY, MONTH, YEAR, period_start
from ..core.summary import MICROSECONDS
from ..models import Item, Total
from ..models.pending import pending_batches


def last_recorded(slugs: Iterable[str], apart: Iterable[str] = ()) -> dict[tuple[str, str], int]:
    """Return the latest time by slug and label set, in microseconds of Unix time; one query.

    The label sets of a slug count as one, with an empty text, unless the slug is one of those to be told `apart`.
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
    for key, last_at in _elsewhere(slugs, apart):
        found[key] = max(last_at, found.get(key, 0))
    return found


def first_recorded(slugs: Iterable[str], labels: str) -> date | None:
    """Return the date since which metrics have label sets that contain a text; two queries.

    It is the first date of the month or year, where no shorter totals are left.
    """
    slugs = list(slugs)
    totals = Total.objects.filter(metric__slug__in=slugs, period__in=(YEAR, MONTH, DAY), labels__contains=labels)
    waiting = Item.objects.filter(slug__in=slugs, labels__contains=labels).aggregate(first=Min("day"))["first"]
    starts = dict(totals.order_by().values_list("period").annotate(first=Min("start")))
    first = starts.get(YEAR)
    for longer, period in ((YEAR, MONTH), (MONTH, DAY)):
        start = starts.get(period)
        if start is None or period_start(longer, start, first_weekday()) != first:
            break
        first = start
    return min((each for each in (first, waiting) if each), default=None)


def date_of(last_at: int) -> date:
    """Return the date of a time that was stored; one in the future, which cannot be, stands for now."""
    return datetime.fromtimestamp(max(0, min(last_at / MICROSECONDS, time.time())), UTC).astimezone(time_zone()).date()


def _elsewhere(slugs: set[str], apart: set[str]) -> Iterator[tuple[tuple[str, str], int]]:
    # What is brought meanwhile is seen twice, which a latest time does not mind.
    for batch in pending_batches(slugs | apart).batches:
        for key, summary in batch.summaries.items():
            yield (key.slug, key.labels if key.slug in apart else ""), summary.last_at


def _parts(slugs: set[str], text: Any) -> Iterator[Any]:
    if slugs:
        yield Item.objects.filter(slug__in=slugs).annotate(of=F("slug"), text=text)
        yield Total.objects.filter(metric__slug__in=slugs, period=YEAR).annotate(of=F("metric__slug"), text=text)
