"""Rules in the settings on real servers: what visitors ask for is what is counted."""

import shutil
import urllib.error

import pytest

from app_metrics.core.labels import decode_labels
from app_metrics.core.summary import GAUGE, merge_into
from app_metrics.storage.journal import Journal
from scripts.server import HOST
from tests.support.serving import METRICS
from tests.support.small_server import environment, manage, served, sqlite, visit

SHOP = "tests.support.shop_urls"
SITE = {
    "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "app_metrics", "tests.testapp"],
    "MIDDLEWARE": [
        METRICS,
        f"{SHOP}.closes",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    "ROOT_URLCONF": SHOP,
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
}
RULES = {
    "APP_METRICS_URLS": {
        "*": {"slug": "requests", "exclude": ["home", "regions:*"]},
        "regions:*": {"slug": "items", "labels": {"region": "request.resolver_match.namespaces.1"}},
        "search": [
            {"slug": "searches", "labels": {"for": "request.GET.q"}},
            {"slug": "deep_searches", "when": {"request.GET.page__gt": 5}},
        ],
        "book": [
            {"slug": "books", "labels": {"pk": "request.resolver_match.kwargs.pk"}},
            {"slug": "bytes", "num": "response.headers.Content-Length"},
        ],
        "import": {"slug": "imported", "events": f"{SHOP}.rows_of"},
        "-": {"slug": "unresolved", "labels": {"status": "response.status_code"}},
    },
    "APP_METRICS_MODELS": {
        "testapp.Order": {"created": {"slug": "large", "when": {"plan": "pro", "amount__gte": 100}}},
        "testapp.Document": {
            "post_save": {"slug": "stock", "gauge": "pages"},
            "created": {"slug": "prints", "labels": {"title": "title"}, "when": {"labels.title__in": ["b", "c"]}},
            "updated": "reprints",
        },
    },
    "APP_METRICS_SIGNALS": {
        f"{SHOP}.paid": [
            {"slug": "revenue", "num": "order.amount", "on_commit": True},
            {"slug": "attempts", "on_commit": False},
            {"slug": "payment_seconds", "timing": {"from": "order.placed_at", "to": "paid_at"}},
        ],
        f"{SHOP}.ordered": "kept_orders",
    },
    "APP_METRICS_AUTH": {"events": ["signups", "logins"], "exclude": ["staff", f"{SHOP}.is_internal"]},
}
# What visitors ask for, and the status of the answer.
ASKED = {
    "/": 200,
    "/search/?q=owls": 200,
    "/search/?q=owls&page=6": 200,
    "/search/?q=bats&page=5": 200,
    "/book/7/": 200,
    "/book/8/": 200,
    "/import/?apple=2&pear=3": 200,
    "/regions/eu/item/": 200,
    "/regions/us/item/": 200,
    "/order/?plan=pro&amount=100": 200,
    "/order/?plan=pro&amount=99.50": 200,
    "/order/?plan=free&amount=200": 200,
    "/order/?plan=pro&amount=300&fail": 500,
    "/stock/4/": 200,
    "/stock/9/": 200,
    "/print/?title=a&title=b&title=b&title=c": 200,
    "/enter/ann/": 200,
    "/enter/ann/?again": 200,
    "/enter/editor/": 200,
    "/enter/robot/": 200,
    "/enter/nobody/": 200,
    "/nowhere/": 404,
    "/nowhere/else/": 404,
    "/closed/": 503,
    "/static/site.css": 200,
}
# The last number of gauges, and the total of all other metrics.
COUNTED = {
    ("requests", "url=search"): 3,
    ("requests", "url=book"): 2,
    ("requests", "url=import"): 1,
    ("requests", "url=order"): 3,
    ("requests", "url=stock"): 2,
    ("requests", "url=print"): 1,
    ("requests", "url=enter"): 5,
    ("items", "region=eu url=regions:eu:item"): 1,
    ("items", "region=us url=regions:us:item"): 1,
    ("searches", "for=owls"): 2,
    ("searches", "for=bats"): 1,
    ("deep_searches", ""): 1,
    ("books", "pk=7"): 1,
    ("books", "pk=8"): 1,
    ("bytes", ""): 2 * len("a page"),
    ("imported", "kind=apple"): 2,
    ("imported", "kind=pear"): 3,
    ("unresolved", "status=404"): 2,
    ("unresolved", "status=503"): 1,
    ("unresolved", "status=200"): 1,
    ("large", ""): 1,
    ("stock", ""): 9,
    ("prints", "title=b"): 2,
    ("prints", "title=c"): 1,
    ("reprints", ""): 2,
    ("revenue", ""): 399.5,
    ("attempts", ""): 4,
    ("kept_orders", ""): 3,
    ("payment_seconds", ""): 4 * 90,
    ("signups", ""): 1,
    ("logins", ""): 2,
}
SERVERS = {
    "uvicorn": ("uvicorn", f"--host={HOST}", "--port={port}", "--log-level=warning", "tests.support.small_site:asgi"),
    "gunicorn": (
        *("gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", "--workers=1"),
        "tests.support.small_site:wsgi",
    ),
}


@pytest.mark.parametrize("server", ["uvicorn", pytest.param("gunicorn", marks=pytest.mark.slow)])
def test_settings_alone_count_what_visitors_ask_for(server, migrated, tmp_path):
    path = shutil.copy(migrated, tmp_path)
    database = {**sqlite(path), "ATOMIC_REQUESTS": True}
    database["OPTIONS"]["transaction_mode"] = "IMMEDIATE"
    variables = environment(database, **SITE, **RULES)
    manage(variables, "migrate", "--verbosity=0")
    with served(SERVERS[server], variables, tmp_path / "log") as (address, _):
        assert {asked: status(address + asked) for asked in ASKED} == ASKED
    assert numbers(path) == COUNTED


def status(address):
    try:
        return visit(address)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def numbers(path):
    """Return the numbers in the journal of a database by slug and labels, without those that the small site records."""
    merged = {}
    for batch in Journal(path).pending():
        for key, summary in batch.summaries.items():
            labels = " ".join(f"{name}={value}" for name, value in sorted(decode_labels(key.labels).items()))
            merge_into(merged, (key.slug, labels, key.kind), summary)
    return {
        (slug, labels): summary.last if kind == GAUGE else summary.total
        for (slug, labels, kind), summary in merged.items()
        if slug != "loaded"
    }
