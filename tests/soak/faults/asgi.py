"""Pages on uvicorn: one whose visitors leave while it is answered, and a stream that goes on until the server stops."""

import asyncio
import time
from itertools import count
from random import Random
from uuid import uuid4

import uvicorn
from django.core.asgi import get_asgi_application
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from app_metrics.contrib.asgi import flushing
from tests.soak.faults.writing import record

JOURNAL = "faults.journal"
# Seconds at most that the middleware works before a page, and after it.
LINGERING = 0.02
# Seconds between two parts of a stream.
PAUSE = 0.02
random, stem, numbers = Random(), uuid4().hex, count()


def page(request):
    with transaction.atomic():
        record_for(request, on_commit=True)
    return HttpResponse("a page")


def stream(request):
    return StreamingHttpResponse(parts(request))


async def parts(request):
    while True:
        record_for(request)
        yield "part\n"
        await asyncio.sleep(PAUSE)


def record_for(request, **options):
    record(request.scope[JOURNAL], f"{stem}-{next(numbers)}", random, **options)


def lingers(get_response):
    """A synchronous middleware: Django runs it, and what is around it, in a thread."""

    def middleware(request):
        time.sleep(random.uniform(0, LINGERING))
        response = get_response(request)
        time.sleep(random.uniform(0, LINGERING))
        return response

    return middleware


urlpatterns = [path("", page), path("stream/", stream)]


class Server(uvicorn.Server):
    """uvicorn on a Unix socket; what was recorded until the application has stopped is acknowledged."""

    def __init__(self, socket, journal, patience):
        django = flushing(get_asgi_application())

        async def application(scope, receive, send):
            async def sent(message):
                if message["type"] == "lifespan.shutdown.complete":
                    journal.acknowledge()
                await send(message)

            await django({**scope, JOURNAL: journal}, receive, sent)

        config = {"log_level": "critical", "timeout_graceful_shutdown": patience}
        super().__init__(uvicorn.Config(application, uds=socket, **config))
