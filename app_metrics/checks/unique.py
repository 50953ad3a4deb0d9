"""Find unique counts that a new SECRET_KEY would disturb."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError

from ..conf import settings, usable
from ..contrib.configured import configured_rules
from ..core.summary import UNIQUE
from ..models import Metric
from ..models.primary import primary

MESSAGE = "Unique counts are hashed with SECRET_KEY: after it changes, who comes back in the same period counts again."
HINT = "Set APP_METRICS_UNIQUE_KEY, to the SECRET_KEY of now if that may be kept, so that a new one changes no count."


@register(Tags.database, deploy=True)
def check_unique_key(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Only with --deploy, because SECRET_KEY serves as long as it stays the same."""
    if usable("UNIQUE_KEY") or settings.APP_METRICS_DATABASE not in (databases or ()):
        return []
    try:
        counts = _rules_count() or primary(Metric.objects).filter(kind=UNIQUE).exists()
    except DatabaseError:  # not migrated, or not reachable: Django reports that
        return []
    return [CheckWarning(MESSAGE, hint=HINT, id="app_metrics.W030")] if counts else []


def _rules_count() -> bool:
    """Return whether a rule makes unique counts: before its first event there is no metric."""
    return any(rule.kind == UNIQUE for rule in configured_rules()[0])
