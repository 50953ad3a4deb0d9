"""Announce milestones and alerts: send the signal at once, and plan the mails."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.dispatch import Signal
from django.utils.translation import gettext as _

from ..conf import settings
from ..core.dropped import warn_once
from ..core.links import absolute_url
from ..core.plain_text import brief, one_line
from ..models import Notice

logger = logging.getLogger("app_metrics")

MAX_SUBJECT_LENGTH = Notice._meta.get_field("subject").max_length or 0


def plan_notifications(addresses: Sequence[str], texts: Iterable[tuple[str, Iterable[str]]], now: datetime) -> None:
    """Plan notifications, each a subject and its lines, to every address, in the current transaction."""
    Notice.objects.bulk_create(
        Notice(
            recipient=address.casefold(),
            address=address,
            # A name may contain line breaks, which would begin another header.
            subject=one_line(subject)[:MAX_SUBJECT_LENGTH],
            text="\n".join(map(one_line, lines)),
            planned_at=now,
        )
        for subject, lines in texts
        for address in addresses
    )


def links_to(slug: str, page: str = "metric") -> list[str]:
    """Return the line of a notification with the link to the page of a metric or a ratio, if there is one.

    A process that only works in the background may be unable to import the URLconf, and needs it for nothing else.
    """
    try:
        url = absolute_url(f"admin:app_metrics_dashboard_{page}", slug)
    except Exception as error:
        warn_once(f"Notifications have no links, because the URLconf failed: {brief(error)}", source="links")
        return []
    return [_("Dashboard: %(dashboard_url)s") % {"dashboard_url": url}] if url else []


def send(signal: Signal, name: str, sender: type, **arguments: Any) -> None:
    """Send a signal in the current transaction; exceptions of receivers are logged, and the transaction continues.

    A database error of one receiver undoes what all of them wrote, unless it happened in an `atomic()` of that
    receiver.
    """
    try:
        with transaction.atomic(using=settings.APP_METRICS_DATABASE):
            for receiver, answer in signal.send_robust(sender, **arguments):
                if isinstance(answer, Exception):
                    logger.error("A receiver of %s failed: %r", name, receiver, exc_info=answer)
    except DatabaseError:
        # Caused by the error of a receiver, which is in the log already.
        logger.exception("The changes of the receivers of %s were rolled back", name)
