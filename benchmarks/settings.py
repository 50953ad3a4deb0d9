"""The test site on databases that do not sync to disk, so that their own work is measured."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DATABASES["default"] |= {
    "CONN_MAX_AGE": None,
    "OPTIONS": {"timeout": 60, "init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY"},
}
APP_METRICS_RETENTION = {"hour": 60}
