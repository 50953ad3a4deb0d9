"""Find alerts that cannot fire. Of which kind a metric is and which change of it is worse, the admin may say."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError

from ..conf import settings
from ..contrib.configured import configured_rules
from ..models import Metric
from ..models.primary import primary
from ..notifications.alert_rules import SETTING, compile_alerts
from ..notifications.watched import watched


@register(Tags.database)
def check_firing(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.APP_METRICS_ALERTS or settings.APP_METRICS_DATABASE not in (databases or ()):
        return []
    try:
        return list(_never_firing())
    except DatabaseError:  # not migrated, or not reachable: Django reports that
        return []


def _never_firing() -> Iterator[CheckMessage]:
    alerts = compile_alerts(settings.APP_METRICS_ALERTS)[0].values()
    slugs = {slug for alert in alerts for slug in alert.slugs}
    metrics = {rule.slug: Metric(slug=rule.slug, kind=rule.kind) for rule in configured_rules()[0]}
    metrics |= primary(Metric.objects).in_bulk(slugs, field_name="slug")
    for alert in alerts:
        try:
            if alert.slugs <= metrics.keys():
                alert.towards(watched(alert, metrics).better)
        except ValueError as error:
            message = f"{SETTING}[{alert.name!r}] cannot fire."
            yield CheckWarning(message, hint=str(error), id="app_metrics.W026")
