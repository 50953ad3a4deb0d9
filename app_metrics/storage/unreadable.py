"""Set aside the sketch of a total that cannot be read, so that the numbers of its metric are still counted."""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..core.logs import log
from ..core.sketches import UNREADABLE
from ..core.summary import SKETCHES, Field
from ..models import QuarantinedItem, Total

Merge = Callable[[Field, str | None], str | None]


def merged_or_set_aside(alias: str, row: Sequence[Any], merge: Merge) -> tuple[Any, ...]:
    """Return a total's primary key and its sketches, each merged; None for one that is set aside."""
    pk, *texts = row
    return pk, *(_merged(alias, pk, field, text, merge) for field, text in zip(SKETCHES, texts, strict=True))


def _merged(alias: str, pk: int, field: Field, text: str | None, merge: Merge) -> str | None:
    try:
        return merge(field, text)
    except (ValueError, TypeError) as error:
        _set_aside(Total.objects.using(alias).select_related("metric").get(pk=pk), field, text, error)
        return None


def _set_aside(total: Total, field: Field, text: str | None, error: Exception) -> None:
    """Replace a sketch with what stands for one that cannot be read, and keep its bytes as a quarantined item."""
    alias, lost = total._state.db, UNREADABLE[field.holds]
    Total.objects.using(alias).filter(pk=total.pk).update(**{field.name: lost and lost.encode()})
    log(logging.ERROR, "%s cannot be read, and was set aside as a quarantined item: %s", described(total, field), error)
    payload = {
        "total": total.pk, "slug": total.metric.slug, "period": total.period, "start": total.start.isoformat(),
        "hour": total.hour, "labels": total.labels, field.name: text,
    }  # fmt: skip
    reason = (
        f"{described(total, field)} cannot be read, so percentiles or unique counts of this period are unknown. "
        f"Its other numbers are right. {error}"
    )
    QuarantinedItem.objects.using(alias).create(payload=json.dumps(payload), reason=reason)


def described(total: Total, field: Field) -> str:
    """Name a sketch in a message, without its bytes."""
    return (
        f"The sketch {field.name!r} of the total {total.pk}, the {total.period} of {total.metric.slug!r} that starts "
        f"on {total.start},"
    )
