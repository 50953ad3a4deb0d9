"""The test site on the PostgreSQL that APP_METRICS_TEST_POSTGRESQL names, as its only database."""

from tests import settings as tests
from tests.settings import *  # noqa: F403

DATABASES = {"default": tests.DATABASES["postgresql"]}
APP_METRICS_RETENTION = {"hour": 60}
