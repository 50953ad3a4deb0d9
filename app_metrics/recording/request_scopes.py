"""Close the scope of each request: with its response or, if that got lost, when Django has finished the request."""

from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.db import close_old_connections

from .scope import Scope

# Scopes by the context of their request: Django's handler opens one for each request that it serves on an event loop.
_scopes: WeakKeyDictionary[ThreadSensitiveContext, list[Scope]] = WeakKeyDictionary()


def begin() -> Scope:
    """Return a new scope for a request."""
    scope = Scope()
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is not None:
        _scopes.setdefault(context, []).append(scope)
    return scope


def end(scope: Scope) -> None:
    """Close a scope on the thread that owns the connection.

    Servers close the request on that thread. Django's asynchronous test client does not: there the thread that waits in
    `async_to_sync` owns the connection, and the transaction of the test.
    """
    waiting = getattr(AsyncToSync.executors, "current", None)
    if waiting is not None:
        with suppress(RuntimeError):  # this is that thread, or it has stopped waiting
            waiting.submit(scope.close)
            return
    scope.close()


def connect() -> None:
    """Close lost scopes when a request has finished, before Django closes the connection."""
    request_finished.connect(_close_lost, dispatch_uid=_close_lost)
    if request_finished.disconnect(close_old_connections):
        request_finished.connect(close_old_connections)


def _close_lost(sender: Any, **kwargs: Any) -> None:
    """Close the scope of a visitor who left while a thread made the response: Django drops that response unclosed.

    The signal comes after the thread's work, on the same thread.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is not None and isinstance(sender, type) and issubclass(sender, ASGIHandler):
        for scope in _scopes.pop(context, ()):
            scope.close()
