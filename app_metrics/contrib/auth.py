"""`APP_METRICS_AUTH`: count signups, logins, failed logins and logouts by one switch."""

from collections.abc import Mapping
from typing import Any

from ..conf import settings

SIGNALS = {
    "django.contrib.auth.signals.user_logged_in": "logins",
    "django.contrib.auth.signals.user_login_failed": "failed_logins",
    "django.contrib.auth.signals.user_logged_out": "logouts",
}


def auth_models() -> Mapping[str, Any]:
    """Return the model rules of the switch: a user created is a signup."""
    return {settings.AUTH_USER_MODEL: {"created": "signups"}} if settings.APP_METRICS_AUTH else {}


def auth_signals() -> Mapping[str, Any]:
    return SIGNALS if settings.APP_METRICS_AUTH else {}
