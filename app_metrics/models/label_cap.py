"""The label cap in readings: pending label sets beyond it belong to the overflow series, as after an aggregation."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, F, Min, Q, Value
from django.db.models.functions import Cast

from ..conf import max_label_sets
from ..core.labels import NO_LABELS, OVERFLOW_LABELS, cap_labels
from ..core.periods import LONGEST
from .pending import PendingBatches

# Label sets that do not count towards the cap.
UNCAPPED = (NO_LABELS, OVERFLOW_LABELS)


def known_label_sets(totals: Any) -> Any:
    """Return the metric's id and the labels of each stored label set that counts towards the cap."""
    return _named(totals).values_list("metric_id", "labels").distinct()


class LabelCap(NamedTuple):
    """The label sets by slug that have a series of their own or will get one, and the pending ones that will not."""

    named: Mapping[str, set[str]]
    overflowing: Mapping[str, set[str]]

    @classmethod
    def of(cls, totals: Any, items: Any, pending: PendingBatches) -> "LabelCap":
        """Return the label sets of everything stored and pending; one query.

        Pending label sets fill the cap in the same order as in an aggregation: by the time of their first event.
        """
        named: dict[str, set[str]] = defaultdict(set)
        first: dict[tuple[str, str], int] = {}
        for slug, labels, at in _label_sets(totals, items):
            if at is None:
                named[slug].add(labels)
            else:
                first[slug, labels] = at
        for batch in pending.batches:
            for key, summary in batch.summaries.items():
                if key.labels not in UNCAPPED:
                    at = first.get((key.slug, key.labels), summary.last_at)
                    first[key.slug, key.labels] = min(summary.last_at, at)
        overflowing: dict[str, set[str]] = defaultdict(set)
        for slug, labels in sorted(first, key=first.__getitem__):
            if cap_labels(labels, named[slug], max_label_sets()) != labels:
                overflowing[slug].add(labels)
        return cls(named, overflowing)

    def name(self, slug: str, labels: str) -> str:
        """Return the label set under which an aggregation adds up a pending one."""
        return labels if labels in UNCAPPED or labels in self.named.get(slug, ()) else OVERFLOW_LABELS

    def filter(self, items: Any, labels: str) -> Any:
        """Return the items that an aggregation adds to the series of a label set."""
        if labels != OVERFLOW_LABELS:
            beyond = [slug for slug, sets in self.overflowing.items() if labels in sets]
            return items.filter(labels=labels).exclude(slug__in=beyond)
        found = Q(labels=OVERFLOW_LABELS)
        for slug in self.overflowing:
            found |= Q(slug=slug) & ~Q(labels__in=[NO_LABELS, *self.named[slug]])
        return items.filter(found)


UNLABELLED = LabelCap({}, {})


def _named(totals: Any) -> Any:
    return totals.filter(period=LONGEST).exclude(labels__in=UNCAPPED)


def _label_sets(totals: Any, items: Any) -> Any:
    """Return slug, label set and first time of each pending series, and of each stored one with None as the time."""
    stored = _named(totals).annotate(of=F("metric__slug"), text=F("labels"), at=Cast(Value(None), BigIntegerField()))
    fresh = items.exclude(labels__in=UNCAPPED).order_by().annotate(of=F("slug"), text=F("labels"))
    pending = fresh.values("of", "text").annotate(at=Min("last_at")).values_list("of", "text", "at")
    return stored.order_by().values_list("of", "text", "at").distinct().union(pending, all=True)
