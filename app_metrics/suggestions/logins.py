"""Propose to count signups and logins."""

from django.apps import apps
from django.contrib.auth import get_user_model

from ..contrib.auth import EVENTS, JOINED, SIGNALS, SIGNUPS
from . import proposals
from .present import Present
from .proposals import AUTH, Proposal
from .rows import of_table
from .tables import Table

OF_AUTH = "django.contrib.auth"


def of_users(users: Table, there: Present) -> list[Proposal]:
    """Return the proposals for users, without the events that other rules count already.

    If another field than `date_joined` says when users were added, a rule of the model counts the signups.
    """
    if there.values[AUTH] or not apps.is_installed(OF_AUTH):
        return []
    events = [event for event in EVENTS if _is_free(event, there)]
    more = of_table(users, SIGNUPS) if SIGNUPS in events and not _has_joined() else []
    if any(proposal.slug == SIGNUPS for proposal in more):
        events.remove(SIGNUPS)
    value = True if len(events) == len(EVENTS) else {"events": events}
    switch = [Proposal(AUTH, "", "", f"{', '.join(events)}, without any code", "auth", value=value)] if events else []
    return [*switch, *more]


def _is_free(event: str, there: Present) -> bool:
    counted = {*there.slugs, *there.keys(proposals.SIGNALS), *there.keys(proposals.MODELS)}
    return not {event, SIGNALS.get(event) or get_user_model()._meta.label} & counted


def _has_joined() -> bool:
    return any(field.name == JOINED for field in get_user_model()._meta.concrete_fields)
