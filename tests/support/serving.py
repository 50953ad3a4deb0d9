"""Serve one request like a WSGI or ASGI server, and note the order of events."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.decorators import async_only_middleware

from app_metrics.core.batch import Batch
from app_metrics.core.dropped import take_entries
from app_metrics.testing.recorded import Recording
from app_metrics.transport.loading import replaced_backend

METRICS = "app_metrics.middleware.MetricsMiddleware"
BODY, WRITE = "body", "write"


class Journal(Recording):
    """A backend that adds its writes to the same list as the server's sends: `["body", "write"]`."""

    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.threads: list[int] = []

    def write(self, batch: Batch) -> None:
        self.events.append(WRITE if not on_event_loop() else "write on the event loop")
        self.threads.append(threading.get_ident())
        super().write(batch)


def on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def journal(kept: Journal | None = None) -> Iterator[Journal]:
    """Send every batch to a journal, without what other tests dropped."""
    kept = kept or Journal()
    take_entries()
    with replaced_backend(kept):
        yield kept


def wsgi_get(path: str, events: list[str], parts: int | None = None, **environ: Any) -> Any:
    """Serve a request and return Django's response; a visitor with `parts` disconnects after that many."""
    answer = WSGIHandler()(RequestFactory().get(path).environ | environ, lambda status, headers: None)
    try:
        events.extend(BODY for _ in islice(answer, parts))
    finally:
        answer.close()
    return answer


async def asgi_get(path: str, events: list[str], parts: int | None = None, application: Any = None) -> int | None:
    """Serve a request and return its status; a visitor with `parts` disconnects after that many.

    A view that sets the event `scope["hanging"]` sees its visitor disconnect.
    """
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request"})
    hanging = asyncio.Event()
    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", b"testserver")]}
    scope.update(hanging=hanging, loop=asyncio.get_running_loop())
    status = None

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        if message.get("body"):
            events.append(BODY)
            if events.count(BODY) == parts:
                hanging.set()
                await asyncio.Event().wait()  # the client reads no more

    async def leave() -> None:
        await hanging.wait()
        messages.put_nowait({"type": "http.disconnect"})

    leaving = asyncio.create_task(leave())
    try:
        await (application or ASGIHandler())(scope, messages.get, send)
    finally:
        leaving.cancel()
    return status


@contextmanager
def witnessed(alias: str) -> Iterator[list[str]]:
    """Note every statement on a database, in every thread."""
    statements: list[str] = []
    watched = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith("SET SESSION"):  # sent by Django when it connects to MariaDB
            statements.append(sql)
        return execute(sql, params, many, context)

    def watch(connection: Any, **kwargs: Any) -> None:
        if connection.alias == alias and note not in connection.execute_wrappers:
            connection.execute_wrappers.append(note)
            watched.append(connection)

    connection_created.connect(watch)
    watch(connections[alias])
    try:
        yield statements
    finally:
        connection_created.disconnect(watch)
        for connection in watched:
            connection.execute_wrappers.remove(note)


def replaces(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    def middleware(request: HttpRequest) -> HttpResponse:
        get_response(request)
        return HttpResponse("another response")

    return middleware


def raises(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    def middleware(request: HttpRequest) -> HttpResponse:
        get_response(request)
        raise ValueError("in a middleware")

    return middleware


def lingers(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A synchronous middleware that is still working when its visitor leaves."""

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        wait_until_gone(request)
        return response

    return middleware


def lingers_first(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    def middleware(request: HttpRequest) -> Any:
        wait_until_gone(request)
        return get_response(request)

    return middleware


@async_only_middleware
def alingers(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    async def middleware(request: ASGIRequest) -> Any:
        response = await get_response(request)
        request.scope["hanging"].set()
        await asyncio.Event().wait()
        return response

    return middleware


def wait_until_gone(request: HttpRequest) -> None:
    """Let the visitor leave, and Django notice it."""
    assert isinstance(request, ASGIRequest)
    asyncio.run_coroutine_threadsafe(_leave(request.scope["hanging"]), request.scope["loop"]).result(120)


async def _leave(hanging: asyncio.Event) -> None:
    hanging.set()
    for _ in range(20):  # what the visitor's end cancels is cancelled within a few rounds of the loop
        await asyncio.sleep(0)
