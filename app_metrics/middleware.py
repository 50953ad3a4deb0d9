"""Open one scope per request, and write its batch after the response body was passed to the server."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any
from weakref import ref

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest

from . import conf
from .contrib.url_rules import arecord_response, record_response
from .recording.request_scopes import answered, end
from .recording.scope import Scope, activated, enter, leave
from .recording.streams import are_ending, watched
from .recording.tenants import new_scope
from .transport.dispatch import is_on_event_loop

# The attribute of a request that has a scope already.
HAS_SCOPE = "_app_metrics_has_scope"


class MetricsMiddleware:
    """Opens a scope around each request. Put it first in `MIDDLEWARE`, so that it sees the final response.

    If it is listed twice, only the first one counts.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if conf.disabled or HAS_SCOPE in vars(request):
            return self.get_response(request)
        return self._acall(request) if self._is_async else self._call(request)

    def _call(self, request: HttpRequest) -> Any:
        scope = new_scope(request=request)
        _close_with(request, scope)
        token = enter(scope)
        try:
            response = self._answer(request)
        except BaseException:
            scope.close()
            raise
        finally:
            leave(token)
        answered(scope)
        return _scoped(response, scope) if response.streaming else response

    async def _acall(self, request: HttpRequest) -> Any:
        scope = new_scope(request=request)
        _close_with(request, scope)
        token = enter(scope)
        try:
            response = await self._aanswer(request)
        except BaseException:  # a client that disconnects cancels the view
            await scope.aclose()
            raise
        finally:
            leave(token)
        answered(scope)
        return _scoped(response, scope) if response.streaming else response

    def _answer(self, request: HttpRequest) -> Any:
        started = perf_counter()
        try:
            response = self.get_response(request)
        except Exception:  # propagates to the server, which answers 500
            record_response(request, None, perf_counter() - started)
            raise
        record_response(request, response, perf_counter() - started)
        return response

    async def _aanswer(self, request: HttpRequest) -> Any:
        started = perf_counter()
        try:
            response = await self.get_response(request)
        except Exception:  # propagates to the server, which answers 500
            await arecord_response(request, None, perf_counter() - started)
            raise
        await arecord_response(request, response, perf_counter() - started)
        return response


def _close_with(request: HttpRequest, scope: Scope) -> None:
    """Close a scope when the request closes.

    Django registers `request.close` with the final response, so this works even if a middleware outside this one raises
    or replaces the response. The closure holds the scope, because under ASGI the context variable is not visible there.
    It does not hold the request, which would be a reference cycle: if a server never closes the response, the scope is
    written when the response goes.
    """
    close_before, living = vars(request).get("close"), ref(request)

    def close() -> None:
        try:
            if close_before is not None:
                close_before()
            elif (request := living()) is not None:
                type(request).close(request)
        finally:
            end(scope)

    request.close = close  # type: ignore[method-assign]
    setattr(request, HAS_SCOPE, True)


def _scoped(response: Any, scope: Scope) -> Any:
    """Keep the scope current while the streaming body of a response is produced and its generators are closed."""
    close_response = response.close

    def close() -> None:
        with activated(scope):
            close_response()

    response.close = close
    # A wrapped file could not be sent by the server itself (wsgi.file_wrapper).
    if getattr(response, "file_to_stream", None) is None:
        # `_iterator` and not `streaming_content`, whose asynchronous form does not close the iterator.
        if response.is_async:
            response.streaming_content = stream = _aiterate(response._iterator, scope)
            response._resource_closers.append(partial(_close_stream, stream))
        else:
            response.streaming_content = _iterate(response._iterator, scope)
    return response


def _close_stream(stream: AsyncGenerator[Any]) -> None:
    """Close an abandoned stream while the scope is open; Django would leave that to the garbage collector."""

    async def aclose() -> None:
        await stream.aclose()

    if not is_on_event_loop():
        async_to_sync(aclose)()


def _iterate(content: Iterator[Any], scope: Scope) -> Iterator[Any]:
    with watched(scope):
        while True:
            with activated(scope):
                try:
                    part = next(content)
                except StopIteration:
                    return
                except BaseException:
                    scope.close()  # nothing else does under ASGI
                    raise
            yield part


async def _aiterate(content: AsyncIterator[Any], scope: Scope) -> AsyncGenerator[Any]:
    try:
        with watched(scope):
            while not are_ending():
                with activated(scope):
                    try:
                        part = await anext(content)
                    except StopAsyncIteration:
                        return
                    except Exception:
                        await scope.aclose()  # nothing else does
                        raise
                yield part
    finally:
        if hasattr(content, "aclose"):
            with activated(scope):
                await content.aclose()
