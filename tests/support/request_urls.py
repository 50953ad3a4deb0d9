"""Views that record in every kind of response, for the tests of the middleware."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator

from django.conf.urls.i18n import i18n_patterns
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.test import Client
from django.urls import path

from app_metrics import collect, metric


def record_25_calls() -> None:
    for number in range(25):
        metric(f"slug-{number % 10}")


def quiet(request: HttpRequest) -> HttpResponse:
    return HttpResponse("quiet")


async def aquiet(request: HttpRequest) -> HttpResponse:
    return HttpResponse("quiet")


def plain(request: HttpRequest) -> HttpResponse:
    record_25_calls()
    return HttpResponse("plain", headers={"ETag": '"tag"'})


async def aplain(request: HttpRequest) -> HttpResponse:
    record_25_calls()
    return HttpResponse("plain")


def many(request: HttpRequest) -> HttpResponse:
    for number in range(3000):
        metric("downloads", labels={"file": str(number)})
    return HttpResponse("many")


def parts() -> Iterator[str]:
    try:
        for part in ("first", "second"):
            metric("part")
            yield part
    finally:
        metric("closed")


async def aparts() -> AsyncIterator[str]:
    try:
        for part in ("first", "second"):
            metric("part")
            yield part
    finally:
        metric("closed")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    metric("page")
    return StreamingHttpResponse(parts())


async def endless_parts() -> AsyncIterator[str]:
    while True:
        metric("part")
        yield "part"
        await asyncio.sleep(0.01)


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(endless_parts())


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    metric("page")
    return StreamingHttpResponse(aparts())


def breaking_parts() -> Iterator[str]:
    metric("part")
    yield "first"
    metric("part")
    raise ValueError("in the stream")


async def abreaking_parts() -> AsyncIterator[str]:
    for part in breaking_parts():
        yield part


def breaking_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(breaking_parts())


async def abreaking_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(abreaking_parts())


def file(request: HttpRequest) -> FileResponse:
    metric("page")
    return FileResponse(io.BytesIO(b"content of a file"))


def fails(request: HttpRequest) -> HttpResponse:
    metric("page")
    raise ValueError("in the view")


async def afails(request: HttpRequest) -> HttpResponse:
    metric("page")
    raise ValueError("in the view")


def leaves(request: HttpRequest) -> HttpResponse:
    metric("page")
    raise SystemExit(3)


def redirects(request: HttpRequest) -> HttpResponse:
    metric("page")
    return HttpResponseRedirect("/quiet/")


async def hangs(request: ASGIRequest) -> HttpResponse:
    metric("page")
    request.scope["hanging"].set()
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")


def nests(request: HttpRequest) -> HttpResponse:
    metric("outer")
    Client().get("/redirects/")
    with collect():
        metric("scope")
    metric("outer")
    return HttpResponse("nests")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    metric("page")
    return HttpResponse("not found", status=404)


handler404 = not_found

urlpatterns = [
    path("quiet/", quiet),
    path("aquiet/", aquiet),
    path("plain/", plain),
    path("aplain/", aplain),
    path("many/", many),
    path("stream/", stream, name="stream"),
    path("astream/", astream, name="astream"),
    path("endless/", endless),
    path("breaking_stream/", breaking_stream),
    path("abreaking_stream/", abreaking_stream),
    path("file/", file),
    path("fails/", fails),
    path("afails/", afails),
    path("leaves/", leaves),
    path("redirects/", redirects),
    path("hangs/", hangs),
    path("nests/", nests),
    *i18n_patterns(path("translated/", quiet)),
]
