"""Flush when an ASGI server stops: it runs no exit handlers, but sends lifespan events."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async

from ..transport.buffer import flush

Application = Callable[[Any, Any, Any], Awaitable[None]]


def flushing(application: Application) -> Application:
    """Wrap an ASGI application to answer lifespan events, which Django's does not; pass on all other events.

    At shutdown it calls `app_metrics.flush()`.
    """

    async def application_with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await application(scope, receive, send)

    return application_with_lifespan


async def _live(receive: Any, send: Any) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await sync_to_async(flush, thread_sensitive=False)()
    await send({"type": "lifespan.shutdown.complete"})
