"""Turn items into totals, each exactly once, however often and by however many processes at once."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from ..conf import first_weekday, max_label_sets, settings
from ..core.periods import HOUR, PERIODS, YEAR, period_start
from ..core.summary import NO_LABELS, OVERFLOW_LABELS, Summary, cap_labels, merge
from ..models import AggregationRun, Item, Metric, Total
from ..notifications import milestones
from ..storage.dialects import dialect_for
from ..storage.dialects.base import BAD_DATA, Claim, TotalKey
from ..storage.transactions import retried
from ..storage.turns import Turns
from .grouping import Group, grouped, quarantine
from .intake import gather

MAX_CHUNK_SIZE = 30_000
# Items of a chunk, unless those of the chunk before had so many keys: then most of its time went into their totals, of
# which a longer chunk writes hardly more. One of more keys takes long enough, and as much memory as it should.
USUAL_CHUNK_SIZE = 10_000
KEYS_OF_LONG_CHUNKS = range(100, 3_001)
# Transactions after which a run begins at the oldest item again: one that was committed late waits for no longer.
LOOK_BACK = 100


@dataclass(slots=True)
class Aggregation:
    """What one run did in `seconds` of wall-clock time; `failures` say what could not be brought from elsewhere."""

    items: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: how many items, and when the oldest was recorded."""

    items: int
    oldest: datetime | None

    @property
    def age(self) -> float:
        """Seconds the oldest item has waited; 0 when none does."""
        return max(0.0, time.time() - self.oldest.timestamp()) if self.oldest else 0.0


def aggregate(*, chunk_size: int | None = None, on_progress: Callable[[int], None] | None = None) -> Aggregation:
    """Add all waiting items to their totals, in transactions of up to `chunk_size` items (default: the setting).

    More than 10,000 are taken only where they are likely to belong to few totals.

    It may run at any time and in several processes at once. `on_progress` is called with the number of items after each
    transaction. A row that no total can take is moved to the quarantined items, and the rest goes on. Raises ValueError
    for a bad chunk size and OperationalError when the database stays unavailable; what was committed stays counted.
    """
    limit = checked_chunk_size(chunk_size)
    started = time.monotonic()
    done = Aggregation(failures=gather())
    milestones.remember()
    drain, turns = _Drain(), Turns(connections[settings.APP_METRICS_DATABASE])
    size = usual = min(limit, USUAL_CHUNK_SIZE)
    while True:
        try:
            taken, quarantined, keys = drain.take(size)
        except BAD_DATA:
            if size == 1:  # it cannot even be set aside
                raise
            size = max(1, size // 10)  # close in on the bad row
            continue
        done.items += taken
        done.quarantined += quarantined
        if on_progress:
            on_progress(taken)
        if taken < size:
            break
        turns.give()
        size = min(limit if keys in KEYS_OF_LONG_CHUNKS else usual, size * 10)
    done.seconds = time.monotonic() - started
    retried(connections[settings.APP_METRICS_DATABASE], partial(_note, done))
    milestones.announce()
    return done


def backlog() -> Backlog:
    """Return how many items wait, and since when."""
    items = Item.objects.count()
    first = Item.objects.order_by("pk").values_list("pk", flat=True).first()
    # The first 48 bits of a UUID of version 7 are milliseconds of Unix time.
    return Backlog(items, None if first is None else datetime.fromtimestamp((first.int >> 80) / 1000, UTC))


def checked_chunk_size(chunk_size: int | None) -> int:
    """Return a good chunk size; the setting stands for None. Raises ValueError for a bad one."""
    chunk_size = settings.APP_METRICS_CHUNK_SIZE if chunk_size is None else chunk_size
    if type(chunk_size) is not int or not 0 < chunk_size <= MAX_CHUNK_SIZE:
        raise ValueError(f"The chunk size is {chunk_size!r}; give a number from 1 to {MAX_CHUNK_SIZE}.")
    return chunk_size


def _note(done: Aggregation) -> None:
    run = {
        "finished_at": timezone.now(),
        "seconds": done.seconds,
        "items": done.items,
        "quarantined": done.quarantined,
    }
    # Not update_or_create: it reads before it writes, which SQLite refuses beside another writer.
    if not AggregationRun.objects.filter(pk=1).update(**run):
        AggregationRun.objects.bulk_create([AggregationRun(pk=1, **run)], ignore_conflicts=True)


class _Drain:
    """The transactions of one run, and what it remembers of metrics and their label sets between them."""

    def __init__(self) -> None:
        self._alias = settings.APP_METRICS_DATABASE
        self._connection = connections[self._alias]
        self._dialect = dialect_for(self._connection)
        self._transactions = 0
        self._bound: Any = None
        self._forget()

    def _forget(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self._label_sets: dict[int, set[str]] = {}

    def take(self, size: int) -> tuple[int, int, int]:
        """Take up to `size` items into their totals; return how many were taken and set aside, and of how many keys."""
        taken = retried(self._connection, partial(self._forgetful, self._one if size == 1 else self._chunk, size))
        self._transactions += 1
        if not self._transactions % LOOK_BACK:
            self._bound = None
        return taken

    def _forgetful(self, transact: Callable[[int], tuple[int, int, int]], size: int) -> tuple[int, int, int]:
        try:
            return transact(size)
        except Exception:
            self._forget()  # what was created was rolled back
            raise

    def _chunk(self, size: int) -> tuple[int, int, int]:
        with transaction.atomic(using=self._alias):
            claim = self._dialect.claim(self._connection, size, self._bound)
            keys = self._add(claim)
        self._bound = claim.bound
        return claim.size, 0, keys

    def _one(self, size: int) -> tuple[int, int, int]:
        """Take one item; set it aside where no total can take it."""
        with transaction.atomic(using=self._alias):
            claim = self._dialect.claim(self._connection, size, self._bound)
            try:
                with transaction.atomic(using=self._alias):
                    self._add(claim)
            except BAD_DATA as error:
                self._forget()
                quarantine(claim.rows[0], error)
                return claim.size, 1, 0
        self._bound = claim.bound
        return claim.size, 0, claim.size

    def _add(self, claim: Claim) -> int:
        """Add what was claimed to the totals; return of how many keys it is."""
        groups = grouped(claim.rows)
        if groups:
            self._learn(groups)
            totals = spread(self._folded(groups))
            self._dialect.add_totals(self._connection, sorted(totals.items()))
        return len(groups)

    def _folded(self, groups: Iterable[Group]) -> dict[tuple[int, str, date, int], Summary]:
        folded: dict[tuple[int, str, date, int], Summary] = {}
        limit = max_label_sets()
        for key, summary, _ in groups:
            metric_id = self._metrics[key.slug].pk
            labels = key.labels
            if labels != NO_LABELS:
                labels = cap_labels(labels, self._label_sets[metric_id], limit)
            bucket = (metric_id, labels, key.day, key.hour)
            folded[bucket] = merge(folded[bucket], summary) if bucket in folded else summary
        return folded

    def _learn(self, groups: Iterable[Group]) -> None:
        """Find or create the metrics of all groups, and find the label sets of those that come with labels."""
        kinds: dict[str, dict[str, int]] = defaultdict(dict)
        labelled = set()
        for key, _, first_at in groups:
            kinds[key.slug][key.kind] = min(first_at, kinds[key.slug].get(key.kind, first_at))
            if key.labels != NO_LABELS:
                labelled.add(key.slug)
        self._find_metrics({slug: sorted(seen, key=seen.__getitem__) for slug, seen in kinds.items()})
        self._find_label_sets({self._metrics[slug].pk for slug in labelled})

    def _find_metrics(self, kinds: Mapping[str, list[str]]) -> None:
        """Find or create metrics by slug; a new one has the first of its kinds."""
        missing = sorted(kinds.keys() - self._metrics.keys())
        if missing:
            known = self._query_metrics(missing)
            new = [Metric(slug=slug, name=slug, kind=kinds[slug][0]) for slug in missing if slug not in known]
            if new:
                Metric.objects.bulk_create(new, ignore_conflicts=True)
                known = self._query_metrics(missing)
            self._metrics |= known
        for slug in sorted(kinds):
            self._note_second_kind(self._metrics[slug], kinds[slug])

    def _query_metrics(self, slugs: list[str]) -> dict[str, Metric]:
        return {metric.slug: metric for metric in Metric.objects.filter(slug__in=slugs)}

    def _note_second_kind(self, metric: Metric, kinds: Iterable[str]) -> None:
        others = [kind for kind in kinds if kind != metric.kind]
        if others and not metric.second_kind:
            metric.second_kind = others[0]
            # Not save(): it raises where the metric was deleted meanwhile; here that shows when totals are added.
            Metric.objects.filter(pk=metric.pk).update(second_kind=metric.second_kind)

    def _find_label_sets(self, metric_ids: set[int]) -> None:
        unknown = metric_ids - self._label_sets.keys()
        if not unknown:
            return
        self._label_sets.update({metric_id: set() for metric_id in unknown})
        stored = Total.objects.filter(metric_id__in=unknown, period=YEAR).exclude(
            labels__in=(NO_LABELS, OVERFLOW_LABELS)
        )
        for metric_id, labels in stored.values_list("metric_id", "labels").distinct():
            self._label_sets[metric_id].add(labels)


def spread(
    folded: Mapping[tuple[int, str, date, int], Summary], periods: Sequence[str] = PERIODS
) -> dict[TotalKey, Summary]:
    """Fold hours into the periods they belong to, all five by default."""
    week = first_weekday()
    totals: dict[TotalKey, Summary] = {}
    for (metric_id, labels, day, hour), summary in folded.items():
        for period in periods:
            start = period_start(period, day, week)
            key = TotalKey(metric_id, period, start, hour if period == HOUR else 0, labels)
            totals[key] = merge(totals[key], summary) if key in totals else summary
    return totals
