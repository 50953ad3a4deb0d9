"""One transaction of an aggregation: move a chunk of items from the log into the totals."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, NamedTuple

from django.db import IntegrityError, connections, transaction

from ..conf import first_weekday, max_label_sets, settings
from ..core.labels import NO_LABELS, cap_labels
from ..core.periods import HOUR, PERIODS, Period
from ..core.summary import Summary, merge_into
from ..models import Metric, Total
from ..models.label_cap import known_label_sets
from ..models.primary import primary
from ..storage.dialects import dialect_for
from ..storage.dialects.base import BAD_DATA, SKETCH_COLUMNS, Claim, Row, TotalKey
from ..storage.items import quarantine
from ..storage.transactions import between_others, retried
from ..storage.turns import Turns
from .grouping import COLUMNS, Group, grouped, sifted

# Transactions after which a run looks for the oldest item again, because it may have been committed late.
LOOK_BACK = 100
# How many keys, rows of a claim, and characters of their sketches a transaction may have to take a moderate amount of
# time and memory.
KEYS_AT_ONCE, ROWS_AT_ONCE, TEXT_AT_ONCE = 10_000, 30_000, 32 * 2**20


class Taken(NamedTuple):
    """What a transaction took: items, those that were quarantined, and the number of keys of the others.

    `room` is how many items like these a transaction may have.
    """

    items: int
    quarantined: int
    keys: int
    room: int


class ChunkRunner:
    """Runs the transactions of an aggregation; remembers metrics and label sets between them."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._alias = settings.APP_METRICS_DATABASE
        self._connection = connections[self._alias]
        self._dialect = dialect_for(self._connection)
        self._transactions = 0
        self._bound: Any = None
        self._forget()

    def _forget(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self._label_sets: dict[int, set[str]] = {}

    def take(self, size: int) -> Taken:
        """Add up to `size` items to their totals."""
        taken = retried(partial(self._attempt, self._one if size == 1 else self._chunk, size))
        self._transactions += 1
        if not self._transactions % LOOK_BACK:
            self._bound = None
        return taken

    def _attempt(self, transact: Callable[[int], Taken], size: int) -> Taken:
        try:
            return transact(size)
        except Exception:
            self._forget()  # the metrics it created were rolled back
            raise

    def _chunk(self, size: int) -> Taken:
        try:
            with between_others():
                self._turns.begin()  # waiting for this moment says nothing about the rows
                claim = self._dialect.claim(self._connection, size, self._bound)
                keys = self._add(claim.rows)
        except BAD_DATA:
            self._forget()
            return self._sifted(size)
        self._bound = claim.bound
        return Taken(claim.size, 0, keys, _room(claim, keys))

    def _sifted(self, size: int) -> Taken:
        """Add items to their totals, and quarantine those that cannot be read, however many these are."""
        with between_others():
            self._turns.begin()
            claim = self._dialect.claim(self._connection, size, self._bound, apart=True)
            rows, poisoned = sifted(claim.rows)
            quarantine(COLUMNS, poisoned)
            keys = self._add(rows)
        self._bound = claim.bound
        return Taken(claim.size, len(poisoned), keys, _room(claim, keys))

    def _one(self, size: int) -> Taken:
        """Add one item to its totals, or quarantine it if it does not fit into them."""
        with between_others():
            self._turns.begin()
            claim = self._dialect.claim(self._connection, size, self._bound, apart=True)
            try:
                with transaction.atomic(using=self._alias):
                    self._add(claim.rows)
            except BAD_DATA as error:
                self._forget()
                quarantine(COLUMNS, [(claim.rows[0], error)])
                return Taken(claim.size, 1, 0, _room(claim, 0))
        self._bound = claim.bound
        return Taken(claim.size, 0, claim.size, _room(claim, claim.size))

    def _add(self, rows: Sequence[Row]) -> int:
        """Add claimed items to the totals; return the number of their keys."""
        groups = grouped(rows)
        if groups:
            self._look_up(groups)
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
            merge_into(folded, bucket, summary)
        return folded

    def _look_up(self, groups: Iterable[Group]) -> None:
        """Find or create the metrics of all groups, and look up the label sets of those with labels."""
        kinds: dict[str, dict[str, int]] = defaultdict(dict)
        labelled = set()
        for key, _, first_at in groups:
            kinds[key.slug][key.kind] = min(first_at, kinds[key.slug].get(key.kind, first_at))
            if key.labels != NO_LABELS:
                labelled.add(key.slug)
        self._find_metrics({slug: sorted(seen, key=seen.__getitem__) for slug, seen in kinds.items()})
        self._find_label_sets({self._metrics[slug].pk for slug in labelled})

    def _find_metrics(self, kinds: Mapping[str, list[str]]) -> None:
        """Find or create metrics by slug; a new one gets the first of its kinds."""
        missing = sorted(kinds.keys() - self._metrics.keys())
        if missing:
            known = self._query_metrics(missing)
            new = [Metric(slug=slug, name=slug, kind=kinds[slug][0]) for slug in missing if slug not in known]
            if new:
                Metric.objects.bulk_create(new, ignore_conflicts=True)
                known = self._query_metrics(missing)
                _refuse_old_snapshot(missing, known)
            self._metrics |= known
        for slug in sorted(kinds):
            self._note_second_kind(self._metrics[slug], kinds[slug])

    def _query_metrics(self, slugs: list[str]) -> dict[str, Metric]:
        return {metric.slug: metric for metric in primary(Metric.objects).filter(slug__in=slugs)}

    def _note_second_kind(self, metric: Metric, kinds: Iterable[str]) -> None:
        others = [kind for kind in kinds if kind != metric.kind]
        if others and not metric.second_kind:
            metric.second_kind = others[0]
            # Not save(), which raises if the metric was deleted meanwhile; add_totals reports that.
            Metric.objects.filter(pk=metric.pk).update(second_kind=metric.second_kind)

    def _find_label_sets(self, metric_ids: set[int]) -> None:
        unknown = metric_ids - self._label_sets.keys()
        if not unknown:
            return
        self._label_sets.update({metric_id: set() for metric_id in unknown})
        for metric_id, labels in known_label_sets(primary(Total.objects).filter(metric__in=unknown)):
            self._label_sets[metric_id].add(labels)


def _room(claim: Claim, keys: int) -> int:
    first = len(COLUMNS) - len(SKETCH_COLUMNS)
    text = sum(len(sketch) for row in claim.rows for sketch in row[first : len(COLUMNS)] if sketch)
    share = max(keys / KEYS_AT_ONCE, len(claim.rows) / ROWS_AT_ONCE, text / TEXT_AT_ONCE)
    return int(claim.size / share) if share else 0


def _refuse_old_snapshot(slugs: Iterable[str], known: Collection[str]) -> None:
    """Raise IntegrityError, so that the transaction is tried again, if it cannot see a metric that exists.

    With REPEATABLE READ, MariaDB and MySQL show the metrics as they were at the first read of the transaction.
    """
    if unseen := [slug for slug in slugs if slug not in known]:
        raise IntegrityError(f"another transaction created the metric {unseen[0]}")


def spread(
    folded: Mapping[tuple[int, str, date, int], Summary], periods: Sequence[Period] = PERIODS
) -> dict[TotalKey, Summary]:
    """Fold hours into the totals of the periods they belong to, by default of all periods."""
    week = first_weekday()
    totals: dict[TotalKey, Summary] = {}
    days: dict[tuple[int, str, date], Summary] = {}
    for (metric_id, labels, day, hour), summary in folded.items():
        if HOUR in periods:
            merge_into(totals, TotalKey(metric_id, HOUR, day, hour, labels), summary)
        merge_into(days, (metric_id, labels, day), summary)
    longer = [period for period in periods if period != HOUR]
    # By way of days, so that most hours are merged only once.
    for (metric_id, labels, day), summary in days.items():
        for period in longer:
            merge_into(totals, TotalKey(metric_id, period, period.start_of(day, week), 0, labels), summary)
    return totals
