"""The test site on the database and with the settings that `APP_METRICS_FAULTS_SITE` names, as JSON."""

import json
import os

from tests.settings import *  # noqa: F403

_site = json.loads(os.environ["APP_METRICS_FAULTS_SITE"])
DATABASES = {"default": _site["database"]}
globals().update(_site["settings"])
