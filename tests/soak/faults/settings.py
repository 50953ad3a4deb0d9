"""The test site with the databases and settings that the variable `APP_METRICS_FAULTS_SITE` holds as JSON."""

import json
import os

from tests.settings import *  # noqa: F403

_site = json.loads(os.environ["APP_METRICS_FAULTS_SITE"])
DATABASES = _site["databases"]
globals().update(_site["settings"])
