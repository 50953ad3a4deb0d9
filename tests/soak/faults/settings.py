"""The test site with the database and settings that the variable `APP_METRICS_FAULTS_SITE` holds as JSON."""

import json
import os

from tests.settings import *  # noqa: F403

_site = json.loads(os.environ["APP_METRICS_FAULTS_SITE"])
DATABASES = {"default": _site["database"]}
globals().update(_site["settings"])
