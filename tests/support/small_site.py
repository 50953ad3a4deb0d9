"""A small site for real servers; `SMALL_SITE` holds its settings as JSON.

`python -m tests.support.small_site migrate` runs a management command on it.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.management import call_command
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import async_only_middleware

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        **{
            "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "app_metrics"],
            "MIDDLEWARE": ["app_metrics.middleware.MetricsMiddleware"],
            "ROOT_URLCONF": "tests.support.small_site",
            "SECRET_KEY": "only for tests",
            "USE_TZ": True,
            "APP_METRICS_AUTOPILOT": False,
            **json.loads(os.environ["SMALL_SITE"]),
        },
    )
    django.setup()

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from app_metrics import metric
from app_metrics.contrib.asgi import counting, flushing


def page(request):
    metric("visits")
    return HttpResponse("a page")


def slow_page(request):
    response = page(request)
    hold()
    return response


async def aslow_page(request):
    response = page(request)
    await ahold()
    return response


def waits(get_response):
    """A synchronous middleware that holds each answer back until the file `RELEASE` exists."""

    def middleware(request):
        response = get_response(request)
        hold()
        return response

    return middleware


@async_only_middleware
def awaits(get_response):
    async def middleware(request):
        response = await get_response(request)
        await ahold()
        return response

    return middleware


def hold():
    print("waits", flush=True)
    while not is_released():
        time.sleep(0.01)


async def ahold():
    print("waits", flush=True)
    while not is_released():
        await asyncio.sleep(0.01)


def is_released():
    return Path(os.environ["RELEASE"]).exists()


def parts():
    """Record each part of an endless stream before it is sent."""
    while True:
        metric("parts")
        yield "part\n"
        time.sleep(0.05)


async def aparts():
    while True:
        metric("parts")
        yield "part\n"
        await asyncio.sleep(0.05)


def stream(request):
    metric("openings")
    return StreamingHttpResponse(aparts() if isinstance(request, ASGIRequest) else parts())


async def echo(scope, receive, send):
    """Send back each message of a websocket until its visitor leaves, but fail at "fail"."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        metric("echoes")
        if message["text"] == "fail":
            raise RuntimeError("as asked for")
        await send({"type": "websocket.send", "text": message["text"]})


async def routed(scope, receive, send):
    await (sockets if scope["type"] == "websocket" else pages)(scope, receive, send)


urlpatterns = [
    path("", page),
    path("slow/", slow_page),
    path("aslow/", aslow_page),
    path("stream/", stream),
]

wsgi = get_wsgi_application()
pages, sockets = get_asgi_application(), counting(echo)
asgi = flushing(routed)


if __name__ == "__main__":
    call_command(*sys.argv[1:])
else:
    metric("loaded")
    print("loaded", flush=True)  # from now on, this process shuts down cleanly
