"""Find metrics that events were recorded for, but that no aggregation has created yet."""

from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import Exists, Min, OuterRef

from ..core.summary import KINDS
from ..setting_values import is_slug
from .pending import pending_batches
from .totals import Item


def unknown_kinds(metrics: Any, slugs: Collection[str] | None = None) -> dict[str, str]:
    """Return the slugs of pending events that have no metric among `metrics`, with the kind first recorded for each.

    With `slugs`, only these are looked for. What an aggregation would refuse is left out. One query, or two if batches
    are pending outside the database.
    """
    first: dict[str, tuple[int, str]] = {}
    for slug, kind, at in (*_stored(metrics, slugs), *_elsewhere(metrics, slugs)):
        if is_slug(slug) and kind in KINDS:
            first[slug] = min(first.get(slug, (at, kind)), (at, kind))
    return {slug: kind for slug, (_, kind) in first.items()}


def _stored(metrics: Any, slugs: Collection[str] | None) -> Any:
    items = Item.objects.using(metrics._db).exclude(Exists(metrics.filter(slug=OuterRef("slug"))))
    if slugs is not None:
        items = items.filter(slug__in=slugs)
    return items.order_by().values_list("slug", "kind").annotate(first=Min("last_at"))


def _elsewhere(metrics: Any, slugs: Collection[str] | None) -> Iterator[tuple[str, str, int]]:
    pending = pending_batches(slugs).batches
    found = {key.slug for batch in pending for key in batch.summaries}
    known = set(metrics.filter(slug__in=found).values_list("slug", flat=True)) if found else found
    for batch in pending:
        for key, summary in batch.summaries.items():
            if key.slug not in known:
                yield key.slug, key.kind, summary.last_at
