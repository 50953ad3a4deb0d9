"""The middleware under ASGI; tests/test_request_statements.py counts its statements on every database."""

import asyncio
import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, TestCase, override_settings
from django.utils.decorators import async_only_middleware

from app_metrics import metric
from app_metrics.contrib.asgi import flushing
from app_metrics.core.batch import Batch
from app_metrics.middleware import MetricsMiddleware
from app_metrics.models import Item
from app_metrics.recording import streams
from app_metrics.recording.scope import current_scope
from tests.support.serving import BODY, METRICS, WRITE, Journal, asgi_get, journal, witnessed

HERE = "tests.test_middleware_async."
# Django warns if a stream's type, sync or async, does not match the server's.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
SITE = {"ROOT_URLCONF": "tests.support.request_urls", "MIDDLEWARE": [METRICS]}


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = SITE["ROOT_URLCONF"]
    settings.MIDDLEWARE = SITE["MIDDLEWARE"]


@pytest.fixture
def written() -> Iterator[Journal]:
    with journal() as kept:
        yield kept


def get(page: str, events: list[str], parts: int | None = None) -> int | None:
    return asyncio.run(asgi_get(page, events, parts))


@pytest.mark.parametrize(
    ("page", "counts"),
    [
        ("/plain/", {"slug-0": 3, "slug-9": 2}),
        ("/aplain/", {"slug-0": 3, "slug-9": 2}),
        ("/file/", {"page": 1}),
        ("/fails/", {"page": 1}),
        ("/afails/", {"page": 1}),
        ("/redirects/", {"page": 1}),
        ("/missing/", {"page": 1}),
        ("/stream/", {"page": 1, "part": 2, "closed": 1}),
        ("/astream/", {"page": 1, "part": 2, "closed": 1}),
    ],
)
def test_the_batch_goes_out_after_the_body(written: Journal, page: str, counts: dict[str, int]) -> None:
    get(page, written.events)
    assert written.events.index(WRITE) == len(written.events) - 1
    assert {slug: written.count(slug) for slug in counts} == counts


def test_a_middleware_that_is_listed_twice_counts_once(written: Journal, settings: Any) -> None:
    settings.APP_METRICS_URLS = {"tests.support.request_urls.redirects": "redirections"}
    settings.MIDDLEWARE = [METRICS, METRICS]
    get("/redirects/", written.events)
    assert (written.count("redirections"), written.count("page")) == (1, 1)
    assert len(written.batches) == 1


def sync_only(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    def middleware(request: HttpRequest) -> Any:
        return get_response(request)

    return middleware


@async_only_middleware
def async_only(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    async def middleware(request: HttpRequest) -> Any:
        return await get_response(request)

    return middleware


@pytest.mark.parametrize(
    ("outside", "page", "status"),
    [
        ("django.middleware.locale.LocaleMiddleware", "/translated/", 302),
        ("django.middleware.common.CommonMiddleware", "/quiet", 301),
        ("tests.support.serving.replaces", "/redirects/", 200),
        ("tests.support.serving.raises", "/redirects/", 500),
    ],
)
def test_a_middleware_outside_ours_may_replace_the_response_or_raise(
    written: Journal, settings: Any, outside: str, page: str, status: int
) -> None:
    settings.MIDDLEWARE = [outside, METRICS]
    assert get(page, written.events) == status
    assert written.events.index(WRITE) == len(written.events) - 1
    assert len(written.batches) == 1


def test_a_request_is_counted_if_the_visitor_leaves_during_the_view(written: Journal) -> None:
    assert get("/hangs/", written.events) is None
    assert written.events == [WRITE]
    assert written.count("page") == 1


SYNC, SYNC_FIRST, ASYNC = (f"tests.support.serving.{name}" for name in ("lingers", "lingers_first", "alingers"))
PASSES, APASSES = HERE + "sync_only", HERE + "async_only"


@pytest.mark.parametrize(
    "middleware",
    [
        [METRICS, SYNC],
        [METRICS, SYNC_FIRST],
        [METRICS, ASYNC],
        [METRICS, ASYNC, PASSES],
        [METRICS, PASSES, ASYNC],
        [METRICS, PASSES, SYNC],
        [SYNC, METRICS],
        [SYNC, METRICS, PASSES],
        [SYNC, METRICS, APASSES],
        [SYNC, APASSES, METRICS],
        [SYNC_FIRST, METRICS],
        [ASYNC, METRICS],
        [ASYNC, METRICS, PASSES],
        [ASYNC, PASSES, METRICS],
        [PASSES, ASYNC, METRICS],
    ],
    ids=lambda middleware: "-".join(each.rpartition(".")[2] for each in middleware),
)
@pytest.mark.parametrize("page", ["/redirects/", "/missing/", "/astream/"])
def test_a_request_is_counted_if_the_visitor_leaves_during_a_middleware(
    written: Journal, settings: Any, middleware: list[str], page: str
) -> None:
    settings.MIDDLEWARE = middleware
    assert get(page, written.events) is None
    assert written.events == [WRITE]
    assert written.count("page") == 1


@pytest.mark.parametrize("page", ["/stream/", "/astream/"])
def test_a_stream_that_the_visitor_leaves_is_one_batch(written: Journal, page: str) -> None:
    get(page, written.events, parts=1)
    assert written.events == [BODY, WRITE]
    assert written.slugs == ["closed", "page", "part"]


def test_a_stream_is_written_while_it_is_running(
    written: Journal, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.APP_METRICS_URLS = {"astream": "openings"}
    monkeypatch.setattr(streams, "PAUSE", 0.01)
    monkeypatch.setattr(streams, "_thread", None)

    async def visit() -> None:
        handler = ASGIHandler()
        request = ASGIRequest({"type": "http", "method": "GET", "path": "/astream/"}, io.BytesIO())
        response = await handler.get_response_async(request)
        parts = aiter(response)
        assert await anext(parts) == b"first"
        async with asyncio.timeout(120):
            while written.slugs != ["openings", "page", "part"]:
                await asyncio.sleep(0.01)
        assert [part async for part in parts] == [b"second"]
        await sync_to_async(response.close)()

    asyncio.run(visit())
    assert (written.count("openings"), written.count("page")) == (1, 1)
    assert (written.count("part"), written.count("closed")) == (2, 1)
    assert len(written.batches) <= 3


def test_streams_that_a_stopping_server_leaves_running_end_before_the_last_write(
    written: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn cancels Django's handler, and Django then leaves the task that sends the stream running."""
    sent: list[str] = []
    write = written.write

    def slow(batch: Batch) -> None:
        time.sleep(0.2)
        write(batch)

    async def stop() -> None:
        application, stopping = flushing(ASGIHandler()), asyncio.Queue[dict[str, Any]]()
        stream = asyncio.create_task(asgi_get("/endless/", sent, application=application))
        while len(sent) < 5:
            await asyncio.sleep(0.01)
        stream.cancel()
        stopping.put_nowait({"type": "lifespan.shutdown"})
        await application({"type": "lifespan"}, stopping.get, complete)

    async def complete(message: dict[str, Any]) -> None:
        assert (message["type"], written.count("part")) == ("lifespan.shutdown.complete", len(sent))

    monkeypatch.setattr(written, "write", slow)
    asyncio.run(stop())


@pytest.mark.parametrize("page", ["/breaking_stream/", "/abreaking_stream/"])
def test_events_before_the_failure_of_a_stream_are_written(written: Journal, page: str) -> None:
    with pytest.raises(ValueError, match="in the stream"):
        get(page, written.events)
    assert written.events[-1] == WRITE
    assert written.count("part") == 2
    assert len(written.batches) == 1


def test_an_error_that_propagates_to_the_server_is_counted(written: Journal, settings: Any) -> None:
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    with pytest.raises(ValueError, match="in the view"):
        get("/afails/", written.events)
    assert written.events == [WRITE]


def test_a_view_that_exits_is_counted(written: Journal) -> None:
    with pytest.raises(SystemExit):
        get("/leaves/", written.events)
    assert written.events == [WRITE]


def test_a_synchronous_view_is_counted_to_its_end_when_its_visitor_leaves(written: Journal) -> None:
    started, left = threading.Event(), threading.Event()

    def record() -> None:
        started.set()
        left.wait(120)
        metric("late")

    async def view(request: HttpRequest) -> HttpResponse:
        await sync_to_async(record)()
        return HttpResponse()

    async def visit() -> None:
        visiting = asyncio.create_task(MetricsMiddleware(view)(HttpRequest()))
        await asyncio.to_thread(started.wait)
        visiting.cancel()
        await asyncio.sleep(0)
        left.set()
        with pytest.raises(asyncio.CancelledError):
            await visiting

    asyncio.run(visit())
    assert written.count("late") == 1
    assert len(written.batches) == 1


def test_events_of_a_background_task_after_the_response_are_written(written: Journal) -> None:
    answered = asyncio.Event()
    tasks = []

    async def background() -> None:
        await answered.wait()
        metric("late")

    async def view(request: HttpRequest) -> HttpResponse:
        metric("page")
        tasks.append(asyncio.create_task(background()))
        return HttpResponse()

    async def visit() -> None:
        request = HttpRequest()
        await MetricsMiddleware(view)(request)
        await sync_to_async(request.close)()
        assert written.slugs == ["page"]
        answered.set()
        async with asyncio.timeout(120):
            while written.slugs != ["late", "page"]:
                await asyncio.sleep(0.01)

    asyncio.run(visit())
    assert written.events == [WRITE, WRITE]


def test_many_requests_at_once_share_nothing(written: Journal) -> None:
    async def visit() -> None:
        await asyncio.gather(*(asgi_get("/astream/", []) for _ in range(20)))

    asyncio.run(visit())
    counts = [{key.slug: summary.count for key, summary in batch.summaries.items()} for batch in written.batches]
    assert counts == [{"page": 1, "part": 2, "closed": 1}] * 20


@async_only_middleware
def waits_for_another(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    async def middleware(request: HttpRequest) -> Any:
        response = await get_response(request)
        if request.path == "/aplain/":
            request.scope["hanging"].set()
            await request.scope["another"].wait()
            metric("late")
        return response

    return middleware


@pytest.mark.parametrize("before", ["/astream/", "/missing/", "/hangs/"])
def test_a_request_in_the_context_of_the_one_before_is_one_batch(written: Journal, settings: Any, before: str) -> None:
    """asyncio may run the requests of a connection in one context (https://github.com/python/cpython/issues/140947)."""
    settings.MIDDLEWARE = [METRICS, HERE + "waits_for_another"]
    handler = ASGIHandler()

    async def visit() -> None:
        another, waits = asyncio.Event(), asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await handler(scope | {"another": another, "hanging": waits}, receive, send)

        async with ThreadSensitiveContext():
            waiting = asyncio.create_task(asgi_get("/aplain/", [], application=application))
            await waits.wait()
            await asgi_get(before, [])
            another.set()
            await waiting

    asyncio.run(visit())
    assert written.events == [WRITE, WRITE]
    assert "late" in {key.slug for key in written.batches[1].summaries}


def test_the_middleware_takes_no_thread_and_django_adapts_nothing(
    caplog: pytest.LogCaptureFixture, settings: Any, written: Journal
) -> None:
    threads = []

    async def view(request: HttpRequest) -> HttpResponse:
        threads.append(threading.get_ident())
        return HttpResponse()

    asyncio.run(MetricsMiddleware(view)(HttpRequest()))
    settings.DEBUG = True
    with caplog.at_level(logging.DEBUG, "django.request"):
        get("/aquiet/", written.events)
    assert threads == [threading.get_ident()]
    assert [record for record in caplog.records if record.name == "django.request"] == []
    assert current_scope() is None


@override_settings(**SITE)
class AsyncClientTests(TestCase):
    """Writes of the client's requests stay inside each test's transaction."""

    async def count_pages(self) -> None:
        client = AsyncClient()
        await client.get("/redirects/")
        response = await client.get("/astream/")
        assert [part async for part in response.streaming_content] == [b"first", b"second"]
        pages = sync_to_async(Item.objects.filter(slug="page").count)
        assert await pages() == 2

    async def test_one(self) -> None:
        await self.count_pages()

    async def test_two(self) -> None:
        await self.count_pages()


@pytest.mark.parametrize("middleware", [[METRICS], [METRICS, HERE + "sync_only"], [HERE + "sync_only", METRICS]])
def test_the_async_client_writes_inside_the_tests_transaction(
    database: str, settings: Any, middleware: list[str]
) -> None:
    settings.MIDDLEWARE = middleware
    with witnessed(database) as statements:
        async_to_sync(AsyncClient().get)("/aplain/")
        assert Item.objects.count() == 10
    assert [statement.split()[0] for statement in statements] == ["SAVEPOINT", "INSERT", "RELEASE", "SELECT"]
