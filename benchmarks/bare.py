"""Settings: the test site without any middleware, on a SQLite that does not wait for the disk."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_prometheus"]
MIDDLEWARE = []
DATABASES = {
    "default": {
        **DATABASES["default"],
        "CONN_MAX_AGE": None,
        "OPTIONS": {"timeout": 20, "init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY"},
    }
}
APP_METRICS_URLS = {"ruled": "ruled", "five": "five", "aruled": "ruled", "afive": "five"}
