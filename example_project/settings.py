"""Settings of Harbour Books; those for app_metrics are at the end."""

import os
from pathlib import Path

from .databases import database

HERE = Path(__file__).resolve().parent

# For this public demonstration only: the key is known to everybody.
SECRET_KEY = "harbour-books-demonstration-key-known-to-everybody"
DEBUG = os.environ.get("EXAMPLE_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "app_metrics",
    "example_project.accounts",
    "example_project.downloads",
    "example_project.shop",
    "example_project.visits",
]

MIDDLEWARE = [
    "app_metrics.middleware.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "example_project.security.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

if os.environ.get("EXAMPLE_ACCESS_LOG") == "1":
    # One around the middleware that measures, and one inside it.
    MIDDLEWARE.insert(1, "example_project.visits.middleware.InnerStopwatchMiddleware")
    MIDDLEWARE.insert(0, "example_project.visits.middleware.AccessLogMiddleware")

if os.environ.get("EXAMPLE_THEME"):
    # A theme of the admin, "unfold" or "jazzmin". The policy forbids the scripts and styles in its pages.
    INSTALLED_APPS.insert(0, os.environ["EXAMPLE_THEME"])
    MIDDLEWARE.remove("example_project.security.ContentSecurityPolicyMiddleware")

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
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

DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if os.environ.get("EXAMPLE_FAST_HASHER") == "1":
    # Scripted visitors sign up by the hundred, and good password hashers are slow on purpose.
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

LANGUAGE_CODE = os.environ.get("EXAMPLE_LANGUAGE", "en-gb")
TIME_ZONE = os.environ.get("EXAMPLE_TIME_ZONE", "Europe/Berlin")
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [HERE / "static"]

LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "shop:home"
LOGOUT_REDIRECT_URL = "shop:home"

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

# --- app_metrics: what this site counts ---

APP_METRICS_URLS = {
    "downloads:file": [
        "downloads",
        {
            "slug": "downloaded_bytes",
            "num": "response.headers.Content-Length",
            "labels": {"guide": "request.resolver_match.kwargs.name"},
        },
    ],
    # Opening the page is no search.
    "shop:search": {"slug": "searches", "when": "request.GET.q"},
    "shop:checkout": {
        "slug": "checkouts",
        "methods": ["POST"],
        "status": [302],
        # A redirect to the login page is a 302 as well.
        "when": "request.user.is_authenticated",
        "labels": {"method": "request.method"},
        "timing": "checkout_seconds",
    },
    # Each row that a delivery brought is an event.
    "shop:delivery": {
        "slug": "delivered_copies",
        "methods": ["POST"],
        "events": "example_project.shop.delivery.delivered_copies",
    },
    "accounts:*": {"slug": "account_forms", "methods": ["POST"], "exclude": ["accounts:logout"]},
    "*": [
        # Count every page by its URL name, so that the dashboard can show pages that get no visits.
        {"slug": "requests", "exclude": ["admin:*"]},
        {"slug": "failures", "status": ["5xx"]},
        # Everybody who is logged in, once in each period.
        {"slug": "active_users", "unique": "request.user.pk"},
    ],
    # Addresses that no URL resolves.
    "-": {"slug": "not_found", "status": [404], "labels": {"method": "request.method"}},
}

APP_METRICS_MODELS = {
    "shop.Book": {
        "post_save": {"slug": "stock", "gauge": "stock", "labels": {"title": "title"}},
        # One by one and, as the manager is a CountedQuerySet, many at once.
        "updated": "book_changes",
    },
    "shop.Order": {
        "created": [
            "orders",
            {"slug": "items_sold", "num": "quantity", "labels": {"plan": "plan"}},
            {"slug": "revenue", "num": "amount", "labels": {"plan": "plan"}},
            {"slug": "large_orders", "when": {"quantity__gte": 4}},
        ],
    },
    "shop.Payment": {"created": {"slug": "payment_seconds", "timing": {"from": "order.created_at", "to": "paid_at"}}},
}

APP_METRICS_SIGNALS = {
    # Counts at once, although the order is rolled back.
    "example_project.shop.payment.refused": {"slug": "refused_payments", "num": "amount"},
    # Counts when the account is committed, and not if the newsletter service fails.
    "example_project.accounts.newsletter.subscribing": {"slug": "newsletter_subscribers", "on_commit": True},
}

APP_METRICS_AUTH = {"events": ["signups", "logins", "failed_logins"], "exclude": ["staff"]}

if os.environ.get("EXAMPLE_METRICS_BACKEND"):
    APP_METRICS_BACKEND = f"app_metrics.backends.{os.environ['EXAMPLE_METRICS_BACKEND']}"
if os.environ.get("EXAMPLE_REDIS_URL"):
    APP_METRICS_REDIS_URL = os.environ["EXAMPLE_REDIS_URL"]
CELERY_BROKER_URL = os.environ.get("EXAMPLE_BROKER_URL")
# Used if the backend is "composite".
APP_METRICS_COMPOSITE_BACKENDS = [f"app_metrics.backends.{name}" for name in ("db", "statsd", "otel")]
if os.environ.get("EXAMPLE_STATSD_URL"):
    APP_METRICS_STATSD_URL = os.environ["EXAMPLE_STATSD_URL"]
if os.environ.get("EXAMPLE_TIMEOUT"):
    APP_METRICS_TIMEOUT = float(os.environ["EXAMPLE_TIMEOUT"])
APP_METRICS_FLUSH_INTERVAL = float(os.environ.get("EXAMPLE_FLUSH_INTERVAL", "0"))
APP_METRICS_SPOOL_DIR = os.environ.get("EXAMPLE_SPOOL_DIR")

# --- app_metrics: ratios, reports and alerts ---

APP_METRICS_RATIOS = {
    # How many of those who search order a book?
    "conversion": {"of": "orders", "to": "searches", "as": "percent"},
    "average_order": {"of": "revenue", "to": "orders", "unit": "€"},
    # How many of the users of 30 days come on the last of them?
    "stickiness": {
        "of": {"slug": "active_users", "field": "unique", "days": 1},
        "to": {"slug": "active_users", "field": "unique", "days": 30},
        "as": "percent",
    },
    # Bad news if it grows, because its numerator counts failures.
    "failed_login_rate": {"of": "failed_logins", "to": "logins", "as": "percent"},
}

APP_METRICS_SETS = {
    "Growth": {
        "metrics": [
            *("orders", "items_sold", "revenue", "signups", "active_users"),
            *("downloads", "searches", "checkout_seconds"),
        ],
        "ratios": ["conversion", "average_order", "stickiness"],
        "recipients": ["books@example.com"],
        "send": ["weekly"],
    },
}

APP_METRICS_BASE_URL = os.environ.get("EXAMPLE_BASE_URL", "http://127.0.0.1:8000")

APP_METRICS_MILESTONES = {"items_sold": {"every": 50_000}, "signups": [1000, 5000]}

APP_METRICS_ALERTS = {
    "No orders": {"metric": "orders", "period": "day", "below": 1},
    "Few orders of those who search": {"ratio": "conversion", "period": "day", "below": 10},
    "Fewer downloads": {"metric": "downloads", "period": "day", "change": -50, "at_least": 20},
}
