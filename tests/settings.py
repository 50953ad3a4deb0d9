"""The test site's settings: SQLite as `default`, and an alias for each server that tests.support.services published."""

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path

# Each run has its own directory, shared by its processes.
if "APP_METRICS_TEST_DIRECTORY" in os.environ:
    DIRECTORY = Path(os.environ["APP_METRICS_TEST_DIRECTORY"])
elif "APP_METRICS_TEST_SQLITE" in os.environ:
    DIRECTORY = Path(os.environ["APP_METRICS_TEST_SQLITE"])
else:
    DIRECTORY = Path(tempfile.mkdtemp(prefix="app-metrics-"))
    os.environ["APP_METRICS_TEST_SQLITE"] = str(DIRECTORY)
    atexit.register(shutil.rmtree, DIRECTORY, ignore_errors=True)

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
DEBUG = False
ROOT_URLCONF = "tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
STATIC_URL = "/static/"
APP_METRICS_AUTOPILOT = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "app_metrics",
    "tests.testapp",
]
MIDDLEWARE = [
    "app_metrics.middleware.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

TEST_SITE_DATABASE = "default"
DATABASE_ROUTERS = ["tests.support.routers.EverywhereRouter"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DIRECTORY / "site.sqlite3",
        # Longer than any test holds the lock: SQLite does not serve waiting connections in order.
        "OPTIONS": {"timeout": 60},
        # A file, because threads and processes would not share an in-memory database.
        "TEST": {"NAME": str(DIRECTORY / "test.sqlite3")},
    },
}
if "APP_METRICS_TEST_POSTGRESQL" in os.environ:
    DATABASES["postgresql"] = {
        "ENGINE": "django.db.backends.postgresql",
        **json.loads(os.environ["APP_METRICS_TEST_POSTGRESQL"]),
        "TEST": {"NAME": "test_app_metrics"},
    }
if "APP_METRICS_TEST_MARIADB" in os.environ:
    DATABASES["mariadb"] = {
        "ENGINE": "django.db.backends.mysql",
        **json.loads(os.environ["APP_METRICS_TEST_MARIADB"]),
        "TEST": {"NAME": "test_app_metrics", "CHARSET": "utf8mb4", "COLLATION": "utf8mb4_general_ci"},
        "OPTIONS": {"charset": "utf8mb4"},
    }
if "APP_METRICS_TEST_MYSQL" in os.environ:
    DATABASES["mysql"] = {
        "ENGINE": "django.db.backends.mysql",
        **json.loads(os.environ["APP_METRICS_TEST_MYSQL"]),
        "TEST": {"NAME": "test_app_metrics"},
        "OPTIONS": {"charset": "utf8mb4"},
    }
