"""`APP_METRICS_AUTH`: one switch to count signups, logins, failed logins and logouts."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.db.models import DateField

from ..conf import settings

JOINED = "date_joined"

SIGNALS = {
    "django.contrib.auth.signals.user_logged_in": "logins",
    "django.contrib.auth.signals.user_login_failed": "failed_logins",
    "django.contrib.auth.signals.user_logged_out": "logouts",
}


def auth_models() -> Mapping[str, Any]:
    """Return the model rules of the switch: a created user is a signup, at the time when the user joined."""
    return {settings.AUTH_USER_MODEL: {"created": _signups()}} if settings.APP_METRICS_AUTH else {}


def _signups() -> dict[str, str]:
    try:
        fields = apps.get_model(settings.AUTH_USER_MODEL)._meta.concrete_fields
    except (LookupError, ValueError):  # Django's own check reports it
        fields = ()
    dated = any(isinstance(field, DateField) and field.name == JOINED for field in fields)
    return {"slug": "signups"} | ({"backfill": JOINED} if dated else {})


def auth_signals() -> Mapping[str, Any]:
    return SIGNALS if settings.APP_METRICS_AUTH else {}
