"""Close the scope of each request: with its response or, if that got lost, when Django has finished the request."""

from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.db import close_old_connections

from ..transport.dispatch import is_on_event_loop
from .scope import Scope, activated, current_scope, scope_aside

# Scopes of made responses by the context of their request. Django's handler opens a context for each request that it
# serves on an event loop, but asyncio may run later requests of the same connection in the first one's context, too
# (https://github.com/python/cpython/issues/140947), and the next of them may begin before this one is finished.
_scopes: WeakKeyDictionary[ThreadSensitiveContext, list[Scope]] = WeakKeyDictionary()

# Whether rules count when a request has finished, and scopes must stay open until then.
_stay_open = False
# The scope of a response that was closed: Django sends `request_finished` right afterwards, on the same thread.
_ending: ContextVar[Scope | None] = ContextVar("app_metrics_ending_scope", default=None)


def answered(scope: Scope) -> None:
    """Let a scope end with its request even if Django drops the response that was made."""
    context = _context()
    if context is not None:
        _scopes.setdefault(context, []).append(scope)


def end(scope: Scope) -> None:
    """Close the scope of a closed response, now or when Django has finished the request."""
    _end_waiting()  # its signal never came
    if _stay_open or _context() is not None:  # otherwise nothing is left to do at the signal
        _ending.set(scope)
    if not _stay_open:
        _close(scope)


def around_request() -> AbstractContextManager[None]:
    """Count what is recorded in the block with the request whose scope is open, else with the next batch."""
    scope = current_scope() or _ending.get()
    return activated(scope_aside() if scope is None or scope.is_closed else scope)


def connect(stay_open: bool) -> None:
    """Connect `_finish`, after all receivers that count, but before the one with which Django closes the connection."""
    global _stay_open
    _stay_open = stay_open
    request_finished.disconnect(_finish)
    request_finished.connect(_finish)
    if request_finished.disconnect(close_old_connections):
        request_finished.connect(close_old_connections)


def _finish(sender: Any, **kwargs: Any) -> None:
    """Close the scope of a finished request if it is still open.

    If a visitor left while a thread made the response, Django drops that response unclosed. This signal comes after the
    thread's work, on the same thread.
    """
    has_ended = _end_waiting() or _end_dropped(sender)
    if _stay_open and not has_ended and current_scope() is None:  # a request without the middleware
        scope_aside().send()


def _end_waiting() -> bool:
    """Close the scope of the response that was just closed; return whether there is one."""
    scope = _ending.get()
    if scope is None:
        return False
    _ending.set(None)
    context = _context()
    if context is not None and scope in (scopes := _scopes.get(context, [])):
        scopes.remove(scope)
    _close(scope)
    return True


def _end_dropped(sender: Any) -> bool:
    """Close the scopes of the responses that were dropped in this context; return whether there are any."""
    context = _context()
    if context is None or not (isinstance(sender, type) and issubclass(sender, ASGIHandler)):
        return False
    scopes = _scopes.pop(context, [])
    for scope in scopes:
        scope.close()
    return bool(scopes)


def _context() -> ThreadSensitiveContext | None:
    return SyncToAsync.thread_sensitive_context.get(None)


def _close(scope: Scope) -> None:
    """Close a scope on the thread that owns the connection.

    Servers close the request on that thread. Django's asynchronous test client does not: there the thread that waits in
    `async_to_sync` owns the connection, and the transaction of the test.
    """
    # Asked first, because looking for a thread that does not wait takes as long as many calls of ours.
    may_wait = AsyncToSync.loop_thread_executors or is_on_event_loop()
    waiting = getattr(AsyncToSync.executors, "current", None) if may_wait else None
    if waiting is not None:
        with suppress(RuntimeError):  # this is that thread, or it has stopped waiting
            waiting.submit(scope.close)
            return
    scope.close()
