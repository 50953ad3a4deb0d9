"""Find alerts and milestones that cannot fire.

Of which kind a metric is and which change of it is worse, the admin may say.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError

from ..conf import settings
from ..contrib.configured import configured_rules
from ..core.summary import UNIQUE
from ..models import Metric
from ..models.primary import primary
from ..notifications import milestones
from ..notifications.alert_rules import SETTING, compile_alerts
from ..notifications.watched import watched


@register(Tags.database)
def check_firing(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    is_set = settings.APP_METRICS_ALERTS or settings.APP_METRICS_MILESTONES
    if not is_set or settings.APP_METRICS_DATABASE not in (databases or ()):
        return []
    try:
        return [*_never_firing(), *_never_reached()]
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
            yield _never(SETTING, alert.name, str(error))


def _never_reached() -> Iterator[CheckMessage]:
    slugs = milestones.compile_milestones(settings.APP_METRICS_MILESTONES)[0].keys()
    kinds = {rule.slug: rule.kind for rule in configured_rules()[0] if rule.slug in slugs}
    kinds |= dict(primary(Metric.objects).filter(slug__in=slugs).values_list("slug", "kind"))
    for slug in sorted(slug for slug, kind in kinds.items() if kind == UNIQUE):
        hint = (
            f"{slug!r} is a unique count, whose total is a number of events: remove it, or for a milestone such as "
            "the 10,000th user count them with a counter when they sign up."
        )
        yield _never(milestones.SETTING, slug, hint)


def _never(setting: str, name: str, hint: str) -> CheckMessage:
    return CheckWarning(f"{setting}[{name!r}] cannot fire.", hint=hint, id="app_metrics.W026")
