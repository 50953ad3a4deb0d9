"""A request costs one statement, after its body, on every database; a request that records nothing costs none."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.db.backends.signals import connection_created
from django.db.models import Sum

from app_metrics import flush
from app_metrics.models import Item
from tests.support.serving import BODY, METRICS, asgi_get, witnessed, wsgi_get

# Django warns if a stream's type, sync or async, does not match the server's.
pytestmark = [pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"), pytest.mark.every_database]

get_in_loop = async_to_sync(asgi_get)

# The rows and calls that each page leaves in the item log.
PAGES = {
    "/plain/": (10, 25),
    "/aplain/": (10, 25),
    "/many/": (3000, 3000),
    "/stream/": (3, 4),
    "/astream/": (3, 4),
    "/file/": (1, 1),
    "/fails/": (1, 1),
    "/afails/": (1, 1),
    "/redirects/": (1, 1),
    "/missing/": (1, 1),
}


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.support.request_urls"
    settings.MIDDLEWARE = [METRICS]
    settings.APP_METRICS_MAX_LABEL_SETS = 5000


@pytest.mark.parametrize("get", [wsgi_get, get_in_loop], ids=["wsgi", "asgi"])
def test_a_request_is_one_insert_after_its_body(transactional_database: str, get: Callable[..., Any]) -> None:
    for page, (rows, calls) in PAGES.items():
        with witnessed(transactional_database) as statements:
            get(page, statements)

        assert statements[:-1] == [BODY] * (len(statements) - 1), page
        assert "INSERT" in statements[-1], page
        items = Item.objects.all()
        assert (len(items), sum(item.count for item in items)) == (rows, calls), page
        Item.objects.all().delete()


@pytest.mark.parametrize("get", [wsgi_get, get_in_loop], ids=["wsgi", "asgi"])
def test_a_request_that_records_nothing_is_no_statement(transactional_database: str, get: Callable[..., Any]) -> None:
    for page in ("/quiet/", "/aquiet/"):
        with witnessed(transactional_database) as statements:
            get(page, statements)
        assert statements == [BODY]


@pytest.mark.parametrize("get", [wsgi_get, get_in_loop], ids=["wsgi", "asgi"])
def test_the_write_leaves_no_connection_open(
    transactional_database: str, settings: Any, get: Callable[..., Any]
) -> None:
    """CONN_MAX_AGE is 0."""
    connections.close_all()
    opened = []

    def note(connection: Any, **kwargs: Any) -> None:
        opened.append(connection)

    connection_created.connect(note)
    try:
        get("/plain/", [])
        get("/stream/", [], 1)
    finally:
        connection_created.disconnect(note)
    assert len(opened) == 2
    assert [connection.connection for connection in opened] == [None, None]
    assert Item.objects.count() == 13


RULES = {
    "django.core.signals.request_started": "started",
    "django.core.signals.request_finished": "finished",
    "django.db.backends.signals.connection_created": "connections",
}


@pytest.mark.parametrize("middleware", [[METRICS], []], ids=["middleware", "bare"])
@pytest.mark.parametrize("get", [wsgi_get, get_in_loop], ids=["wsgi", "asgi"])
def test_rules_on_signals_around_a_request_cost_no_statement_of_their_own(
    transactional_database: str, settings: Any, get: Callable[..., Any], middleware: list[str]
) -> None:
    settings.APP_METRICS_SIGNALS, settings.MIDDLEWARE = RULES, middleware
    connections.close_all()
    opened = []

    def note(connection: Any, **kwargs: Any) -> None:
        opened.append(connection)

    connection_created.connect(note)
    try:
        for page in ("/quiet/", "/aquiet/", "/stream/") if middleware else ("/quiet/", "/aquiet/"):
            with witnessed(transactional_database) as statements:
                get(page, statements)
            assert statements[:-1] == [BODY] * (len(statements) - 1), page
            assert "INSERT" in statements[-1], page
    finally:
        connection_created.disconnect(note)
    assert [connection.connection for connection in opened] == [None] * len(opened)
    counts = Counter(dict(Item.objects.values_list("slug").annotate(Sum("count"))))
    assert counts["started"] == counts["finished"] == len(opened)
    flush()
    counts = Counter(dict(Item.objects.values_list("slug").annotate(Sum("count"))))
    assert counts["connections"] >= len(opened)


def test_a_stream_that_the_visitor_leaves_is_one_insert(transactional_database: str) -> None:
    for get, page in ((wsgi_get, "/stream/"), (get_in_loop, "/astream/")):
        with witnessed(transactional_database) as statements:
            get(page, statements, 1)
        assert [statement for statement in statements if statement != BODY] == statements[1:]
        assert len(statements) == 2
    assert sorted(Item.objects.values_list("slug", flat=True)) == ["closed", "closed", "page", "page", "part", "part"]


def test_the_batch_of_a_request_is_outside_the_views_transaction(transactional_database: str, settings: Any) -> None:
    """What a view counts stays recorded if its transaction is rolled back."""
    settings.DATABASES[transactional_database]["ATOMIC_REQUESTS"] = True
    connections[transactional_database].settings_dict["ATOMIC_REQUESTS"] = True
    try:
        wsgi_get("/fails/", [])
    finally:
        connections[transactional_database].settings_dict["ATOMIC_REQUESTS"] = False
        settings.DATABASES[transactional_database]["ATOMIC_REQUESTS"] = False
    assert Item.objects.get().slug == "page"
    assert not transaction.get_connection(transactional_database).in_atomic_block
