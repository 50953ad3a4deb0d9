"""The middleware under WSGI; tests/test_request_statements.py counts its statements on every database."""

import gc
import io
import logging
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from asgiref.sync import iscoroutinefunction
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from app_metrics import flush, metric
from app_metrics.middleware import MetricsMiddleware
from app_metrics.recording import streams
from app_metrics.recording.scope import Scope, current_scope, scope_aside
from tests.support.serving import BODY, METRICS, WRITE, Journal, journal, wsgi_get
from tests.support.threads import in_thread
from tests.support.waiting import wait_until

# At the end of every request, a real handler closes old connections, which are the test's own.
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.support.request_urls"
    settings.MIDDLEWARE = [METRICS]


@pytest.fixture
def written() -> Iterator[Journal]:
    with journal() as kept:
        yield kept


@pytest.mark.parametrize(
    ("page", "counts"),
    [
        ("/plain/", {"slug-0": 3, "slug-9": 2}),
        ("/aplain/", {"slug-0": 3, "slug-9": 2}),
        ("/file/", {"page": 1}),
        ("/fails/", {"page": 1}),
        ("/redirects/", {"page": 1}),
        ("/missing/", {"page": 1}),
        ("/stream/", {"page": 1, "part": 2, "closed": 1}),
    ],
)
def test_the_batch_goes_out_after_the_body(written: Journal, page: str, counts: dict[str, int]) -> None:
    wsgi_get(page, written.events)
    assert written.events[0] == BODY
    assert written.events.index(WRITE) == len(written.events) - 1
    assert {slug: written.count(slug) for slug in counts} == counts
    assert written.threads == [threading.get_ident()]


@pytest.mark.parametrize(
    ("outside", "page", "status"),
    [
        ("django.middleware.http.ConditionalGetMiddleware", "/plain/", 304),
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
    answer = wsgi_get(page, written.events, HTTP_IF_NONE_MATCH='"tag"')
    assert answer.status_code == status
    assert written.events.index(WRITE) == len(written.events) - 1
    assert len(written.batches) == 1


def test_django_closes_the_request_with_the_final_response(settings: Any) -> None:
    """The middleware relies on this."""
    closed = []
    settings.MIDDLEWARE = ["tests.support.serving.replaces"]
    request = RequestFactory().get("/quiet/")
    request.close = lambda: closed.append(request)
    handler = Client().handler
    handler.load_middleware()
    response = handler.get_response(request)
    assert (response.content, closed) == (b"another response", [])
    response.close()
    assert closed == [request]


def test_django_keeps_a_streams_iterator_and_closers() -> None:
    """The middleware relies on this, too."""
    parts = iter(["first"])
    response = StreamingHttpResponse(parts)
    assert response._iterator is parts
    assert response._resource_closers == []


def test_a_stream_that_the_visitor_leaves_early_is_one_batch(written: Journal) -> None:
    wsgi_get("/stream/", written.events, parts=1)
    assert written.events == [BODY, WRITE]
    assert written.slugs == ["closed", "page", "part"]


def test_events_before_the_failure_of_a_stream_are_written(written: Journal) -> None:
    with pytest.raises(ValueError, match="in the stream"):
        wsgi_get("/breaking_stream/", written.events)
    assert written.events == [BODY, WRITE]
    assert written.count("part") == 2


def test_a_server_that_never_closes_the_response_loses_nothing(written: Journal) -> None:
    """Adapters for serverless platforms do that."""
    answer = unclosed("/redirects/")
    assert list(answer) == [b""]
    del answer
    assert (written.events, written.count("page")) == ([WRITE], 1)


def test_a_request_in_a_reference_cycle_that_is_never_closed_is_written_with_a_garbage_collection(
    written: Journal, settings: Any
) -> None:
    """`request.user` is such a cycle."""
    settings.MIDDLEWARE = [
        *("django.contrib.sessions.middleware.SessionMiddleware", METRICS),
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    unclosed("/redirects/")
    gc.collect()
    assert written.count("page") == 1


def test_a_stream_that_is_never_closed_loses_nothing(written: Journal) -> None:
    assert b"".join(unclosed("/stream/")) == b"firstsecond"
    gc.collect()
    assert written.slugs == ["closed", "page", "part"]


def test_flush_writes_the_events_of_an_unclosed_response(written: Journal) -> None:
    answer = unclosed("/redirects/")
    in_thread(flush)  # this thread is in the test's transaction
    assert written.count("page") == 1
    answer.close()
    assert written.events == [WRITE]


def unclosed(path: str) -> Any:
    return WSGIHandler()(RequestFactory().get(path).environ, lambda status, headers: None)


def test_a_thousand_requests_leave_nothing_in_memory(written: Journal) -> None:
    handler = WSGIHandler()

    def visit(times: int) -> int:
        for _ in range(times):
            handler(RequestFactory().get("/redirects/").environ, lambda status, headers: None).close()
        written.batches.clear()
        written.events.clear()
        written.threads.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        # Other threads of the test process allocate, too; what requests leave in memory grows each time.
        sizes = [visit(500), visit(1000), visit(1000), visit(1000)]
        assert min(after - before for before, after in pairwise(sizes)) < 8_000  # eight bytes are one entry of a list
    finally:
        tracemalloc.stop()
    assert [each for each in gc.get_objects() if isinstance(each, Scope)] == [scope_aside()]


def test_a_stream_is_written_while_it_is_running(
    written: Journal, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.APP_METRICS_URLS = {"stream": "openings"}
    monkeypatch.setattr(streams, "PAUSE", 0.01)
    monkeypatch.setattr(streams, "_thread", None)
    answer = unclosed("/stream/")
    assert next(iter(answer)) == b"first"
    wait_until(lambda: written.slugs == ["openings", "page", "part"])
    answer.close()
    assert (written.count("openings"), written.count("page"), written.count("part")) == (1, 1, 1)
    assert written.count("closed") == 1
    assert len(written.batches) == 2


def test_a_stream_that_is_made_does_not_leave_its_scope_behind(written: Journal) -> None:
    answer = MetricsMiddleware(lambda request: StreamingHttpResponse(iter(["first", "second"])))(HttpRequest())
    for _ in answer:
        assert current_scope() is None


def test_the_server_may_send_a_file_by_itself(written: Journal) -> None:
    content = io.BytesIO(b"content of a file")

    def view(request: HttpRequest) -> FileResponse:
        metric("page")
        return FileResponse(content)

    request = RequestFactory().get("/")
    response = MetricsMiddleware(view)(request)
    assert response.file_to_stream is content
    request.close()
    written.events.clear()

    answer = wsgi_get("/file/", written.events, **{"wsgi.file_wrapper": FileWrapper})
    assert isinstance(answer, FileWrapper)
    assert written.events == [BODY, WRITE]


def test_a_view_that_exits_is_counted(written: Journal) -> None:
    with pytest.raises(SystemExit):
        wsgi_get("/leaves/", written.events)
    assert written.count("page") == 1


def test_an_error_that_propagates_to_the_server_is_counted(written: Journal, settings: Any) -> None:
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    with pytest.raises(ValueError, match="in the view"):
        wsgi_get("/fails/", written.events)
    assert written.count("page") == 1


def test_closing_a_response_twice_writes_once(written: Journal) -> None:
    answer = wsgi_get("/redirects/", written.events)
    answer.close()
    assert written.events.count(WRITE) == 1


def test_a_request_within_a_view_is_a_batch_of_its_own(written: Journal) -> None:
    wsgi_get("/nests/", written.events)
    slugs = [sorted(key.slug for key in batch.summaries) for batch in written.batches]
    assert slugs == [["page"], ["scope"], ["outer"]]
    assert written.count("outer") == 2
    assert current_scope() is None


def test_a_middleware_that_is_listed_twice_counts_once(written: Journal, settings: Any) -> None:
    settings.APP_METRICS_URLS = {"tests.support.request_urls.redirects": "redirections"}
    settings.MIDDLEWARE = [METRICS, "django.middleware.common.CommonMiddleware", METRICS]
    wsgi_get("/redirects/", written.events)
    assert (written.count("redirections"), written.count("page")) == (1, 1)
    assert len(written.batches) == 1


def test_two_requests_on_one_thread_share_nothing(written: Journal) -> None:
    for _ in range(2):
        wsgi_get("/redirects/", written.events)
    assert [[summary.count for summary in batch.summaries.values()] for batch in written.batches] == [[1], [1]]


def test_the_scope_is_gone_when_the_response_is_made(written: Journal) -> None:
    MetricsMiddleware(lambda request: HttpResponse())(HttpRequest())
    assert current_scope() is None


def test_disabled_metrics_cost_nothing(written: Journal, settings: Any) -> None:
    settings.APP_METRICS_DISABLED = True
    wsgi_get("/plain/", written.events)
    assert written.events == [BODY]


def test_django_adapts_nothing_to_the_middleware(caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    settings.DEBUG = True
    with caplog.at_level(logging.DEBUG, "django.request"):
        wsgi_get("/quiet/", [])
    assert caplog.messages == []
    assert not iscoroutinefunction(MetricsMiddleware(lambda request: HttpResponse()))


def test_a_closed_request_is_gone_without_waiting_for_the_garbage_collector() -> None:
    request = RequestFactory().get("/")
    gone = weakref.ref(request)
    gc.disable()
    try:
        MetricsMiddleware(lambda request: HttpResponse())(request)
        request.close()
        del request
        assert gone() is None
    finally:
        gc.enable()
