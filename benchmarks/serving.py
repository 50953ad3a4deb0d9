"""One request through Django's handlers, and what it took before its body was with the server and after."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

BODY = b"body"


class Times(NamedTuple):
    """Seconds until the body was handed to the server, and from there until the server was rid of the request."""

    before: float
    after: float


# A handler that has loaded its middlewares, a path and a number of requests; the times of each.
Serve = Callable[[Any, str, int], list[Times]]


def by_wsgi(handler: Any, path: str, requests: int) -> list[Times]:
    from django.test import RequestFactory

    return [wsgi(handler, RequestFactory().get(path).environ) for _ in range(requests)]


def by_asgi(handler: Any, path: str, requests: int) -> list[Times]:
    async def all_of_them() -> list[Times]:
        return [await asgi(handler, path) for _ in range(requests)]

    return asyncio.run(all_of_them())


SERVERS: Mapping[str, Serve] = {"WSGI": by_wsgi, "ASGI": by_asgi}


def wsgi(handler: Any, environ: dict[str, Any]) -> Times:
    begin = perf_counter()
    response = handler(environ, ignore)
    body = b"".join(response)
    sent = perf_counter()
    response.close()
    end = perf_counter()
    check(body)
    return Times(sent - begin, end - sent)


def ignore(status: str, headers: Any) -> None:
    pass


async def asgi(handler: Any, path: str) -> Times:
    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", b"testserver")]}
    asked, sent = False, []

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # the visitor stays
        asked = True
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            sent.append((perf_counter(), message["body"]))

    begin = perf_counter()
    await handler(scope, receive, send)
    end = perf_counter()
    check(b"".join(body for _, body in sent))
    return Times(sent[-1][0] - begin, end - sent[-1][0])


def check(body: bytes) -> None:
    if body != BODY:
        raise AssertionError(f"The page says {body[:100]!r}.")


def handlers(middlewares: Sequence[str]) -> dict[str, Any]:
    """Return a handler for WSGI and one for ASGI, with these middlewares."""
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    with override_settings(MIDDLEWARE=list(middlewares)):
        return {"WSGI": WSGIHandler(), "ASGI": ASGIHandler()}
