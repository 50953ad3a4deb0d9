"""Wrappers of ASGI applications: one flushes when the server stops, one counts websocket connections."""

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import close_old_connections

from .. import conf
from ..core.summary import COUNTER, TIMER
from ..recording import streams
from ..recording.metrics import record
from ..recording.scope import activated
from ..recording.tenants import new_scope
from ..transport.buffer import flush
from .rules import RECEIVED, SENT, TIMING, Rule
from .websocket_rules import rules_of_connection

Application = Callable[[Any, Any, Any], Awaitable[None]]

# Whether this process has an application that `counting` wraps, and one that `flushing` wraps.
is_counting = is_flushing = False

# The key of an ASGI scope that says that its connection is counted already, by a wrapper further out.
COUNTED = "app_metrics.counted"


def flushing(application: Application) -> Application:
    """Wrap an ASGI application to answer lifespan events, which Django's does not; pass on all other events.

    At shutdown it ends the streams that the server has left running, and calls `app_metrics.flush()`, because ASGI
    servers run no exit handlers.
    """
    global is_flushing
    is_flushing = True

    async def application_with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await application(scope, receive, send)

    return application_with_lifespan


def answer_lifespan() -> None:
    """Let Django's own ASGI application answer lifespan events as `flushing` does."""
    handle = ASGIHandler.__call__

    async def call(self: ASGIHandler, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await handle(self, scope, receive, send)

    ASGIHandler.__call__ = call  # type: ignore[method-assign]


async def _live(receive: Any, send: Any) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    async with streams.ended():
        await sync_to_async(flush, thread_sensitive=False)()
    await send({"type": "lifespan.shutdown.complete"})


def counting(application: Application) -> Application:
    """Wrap an ASGI application to count websocket connections by APP_METRICS_WEBSOCKETS; pass on all other events.

    What else is recorded during a connection is gathered with it, and written about once a second.
    """
    global is_counting
    is_counting = True

    async def counted_application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket" or COUNTED in scope or conf.disabled:
            await application(scope, receive, send)
        else:
            await _Connection(scope, receive, send).run(application)

    return counted_application


class _Connection:
    """A websocket connection, from its request until the application returns."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._gathered = new_scope()
        # The rules that count this connection, with the labels that they read when it was accepted.
        self._counting: Sequence[tuple[Rule, dict[str, str]]] = ()
        self._opened: float | None = None

    async def run(self, application: Application) -> None:
        try:
            with streams.watched(self._gathered), activated(self._gathered):
                await application({**self._scope, COUNTED: True}, self._receive_counted, self._send_counted)
        finally:
            self._close()
            await self._gathered.aclose()

    async def _receive_counted(self) -> Any:
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._record(RECEIVED)
        elif message["type"] == "websocket.disconnect":
            self._close()
        return message

    async def _send_counted(self, message: Any) -> None:
        if message["type"] == "websocket.accept" and not self._counting:
            await self._open()  # before the visitor knows, and sends messages
        await self._send(message)
        if message["type"] == "websocket.send":
            self._record(SENT)
        elif message["type"] == "websocket.close":
            self._close()

    async def _open(self) -> None:
        rules = rules_of_connection(self._scope)
        # A rule that reads values may query the database.
        is_slow = any(rule.reads for rule in rules)
        self._counting = await sync_to_async(self._fire_in_thread)(rules) if is_slow else self._fire(rules)
        self._opened = perf_counter()

    def _fire_in_thread(self, rules: Sequence[Rule]) -> Sequence[tuple[Rule, dict[str, str]]]:
        close_old_connections()  # no request does it
        try:
            return self._fire(rules)
        finally:
            close_old_connections()

    def _fire(self, rules: Sequence[Rule]) -> Sequence[tuple[Rule, dict[str, str]]]:
        with activated(self._gathered):  # the application may send from any task
            fired = [(rule, rule.fire({"scope": self._scope})) for rule in rules]
        return [(rule, labels) for rule, labels in fired if labels is not None]

    def _close(self) -> None:
        if self._opened is not None:
            seconds, self._opened = perf_counter() - self._opened, None
            self._record(TIMING, TIMER, seconds)

    def _record(self, key: str, kind: str = COUNTER, number: float = 1) -> None:
        with activated(self._gathered):
            for rule, labels in self._counting:
                slug = rule.options.get(key)
                if slug:
                    record(slug, kind, number, labels or None)
