"""One collector per request, whose batch goes out after the body was handed to the server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest

from .collector import Collector, activated
from .conf import settings
from .contrib.url_rules import record_response


class MetricsMiddleware:
    """Put this first in `MIDDLEWARE`, so that it sees the response as the visitor does."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if settings.APP_METRICS_DISABLED:
            return self.get_response(request)
        return self._acall(request) if self._is_async else self._call(request)

    def _call(self, request: HttpRequest) -> Any:
        collector = Collector()
        _close_with(request, collector.close)
        started = perf_counter()
        with activated(collector):
            try:
                response = self.get_response(request)
                record_response(request, response, perf_counter() - started)
            except BaseException as error:
                _record_raised(request, error, perf_counter() - started)
                collector.close()
                raise
        return _scoped(response, collector)

    async def _acall(self, request: HttpRequest) -> Any:
        collector = Collector()
        _close_with(request, partial(_close_on_owner, collector))
        started = perf_counter()
        with activated(collector):
            try:
                response = await self.get_response(request)
                record_response(request, response, perf_counter() - started)
            except BaseException as error:  # a client that disconnects cancels the view
                _record_raised(request, error, perf_counter() - started)
                await collector.aclose()
                raise
        return _scoped(response, collector)


def _close_with(request: HttpRequest, close_collector: Callable[[], None]) -> None:
    """Close a collector when the request closes.

    Django registers `request.close` with whatever response is the final one, so this survives a middleware outside
    ours that raises or replaces the response. The closure holds the collector, because the context variable is not
    visible there under ASGI.
    """
    close_request = request.close

    def close() -> None:
        try:
            close_request()
        finally:
            close_collector()

    request.close = close  # type: ignore[method-assign]


def _close_on_owner(collector: Collector) -> None:
    """Close a collector on the thread that owns the connection, which the test client's closing thread does not."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        async_to_sync(collector.aclose)()
    finally:
        collector.close()


def _record_raised(request: HttpRequest, error: BaseException, seconds: float) -> None:
    # A cancelled request and a process that exits answered nothing; an error that got this far is a 500.
    if isinstance(error, Exception):
        record_response(request, None, seconds)


def _scoped(response: Any, collector: Collector) -> Any:
    """Keep the collector current while a streaming body is made, and while its generators are closed."""
    if not response.streaming:
        return response
    close_response = response.close

    def close() -> None:
        with activated(collector):
            close_response()

    response.close = close
    # A file that the server may send by itself must not be wrapped.
    if getattr(response, "file_to_stream", None) is None:
        # The iterator itself, not `streaming_content`, whose asynchronous form does not close what it iterates.
        wrap = _aiterate if response.is_async else _iterate
        response.streaming_content = wrap(response._iterator, collector)
    return response


def _iterate(content: Iterator[Any], collector: Collector) -> Iterator[Any]:
    while True:
        with activated(collector):
            try:
                part = next(content)
            except StopIteration:
                return
            except BaseException:
                collector.close()  # under ASGI nobody else would
                raise
        yield part


async def _aiterate(content: AsyncIterator[Any], collector: Collector) -> AsyncIterator[Any]:
    try:
        while True:
            with activated(collector):
                try:
                    part = await anext(content)
                except StopAsyncIteration:
                    return
                except Exception:
                    await collector.aclose()  # nobody else would
                    raise
            yield part
    finally:
        if hasattr(content, "aclose"):
            with activated(collector):
                await content.aclose()
