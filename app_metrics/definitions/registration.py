"""Create the metrics that are defined in code, and let stored ones follow their definitions."""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from django.db import DatabaseError, router
from django.utils import translation

from ..conf import settings
from ..models import Metric
from ..models.primary import primary
from ..storage.transactions import between_others, retried
from .definition import Definition
from .discovery import discover


def register(definitions: Iterable[Definition]) -> None:
    """Create the metrics that are missing, and copy to the others what their definitions say.

    A name, unit, description or `better` that differs from what the definition said last was changed by a person, and
    stays. So does the kind, under which numbers were recorded. Of several definitions of one slug the first counts.
    """
    with translation.override(settings.LANGUAGE_CODE):
        defined = {each.slug: (each.kind, each.texts) for each in reversed(list(definitions))}
    stored = dict(primary(Metric.objects).filter(slug__in=defined).values_list("slug", "defined"))
    for slug, (kind, texts) in sorted(defined.items()):
        if stored.get(slug) != texts:
            retried(partial(_follow, slug, kind, texts))


def register_after_migrating(*, using: str, **kwargs: Any) -> None:
    """Register all definitions after `migrate`, so that the admin shows them before anything is recorded."""
    if using != settings.APP_METRICS_DATABASE or router.db_for_write(Metric) != using:
        return
    if definitions := discover():
        # After a partial or backward migration the table may not fit.
        with suppress(DatabaseError):
            register(definitions)


def _follow(slug: str, kind: str, texts: dict[str, str]) -> None:
    with between_others():
        defaults = {**texts, "kind": kind, "defined": texts}
        metric, is_new = primary(Metric.objects).select_for_update().get_or_create(defaults, slug=slug)
        if is_new:
            return
        # An event creates a metric under its slug, without any other text.
        before = {"name": slug, "unit": "", "description": "", "better": "", **(metric.defined or {})}
        for field, text in texts.items():
            if getattr(metric, field) == before[field]:
                setattr(metric, field, text)
        metric.defined = texts
        metric.save(update_fields=[*texts, "defined"])
