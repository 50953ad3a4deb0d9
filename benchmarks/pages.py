"""Pages that do nothing but what is measured, as functions for WSGI and, with an `a` before the name, for ASGI."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from prometheus_client import Counter

from app_metrics import metric
from tests.testapp.models import Document

CALLS = tuple(f"call-{number}" for number in range(5))
COUNTERS = [Counter(f"benchmark_call_{number}", "") for number in range(5)]


def quiet(request: HttpRequest) -> HttpResponse:
    return HttpResponse("body")


def five(request: HttpRequest) -> HttpResponse:
    for slug in CALLS:
        metric(slug)
    return HttpResponse("body")


def by_prometheus(request: HttpRequest) -> HttpResponse:
    for counter in COUNTERS:
        counter.inc()
    return HttpResponse("body")


def saving(request: HttpRequest) -> HttpResponse:
    Document.objects.create(title="Title")
    return HttpResponse("body")


async def aquiet(request: HttpRequest) -> HttpResponse:
    return quiet(request)


async def afive(request: HttpRequest) -> HttpResponse:
    return five(request)


async def aby_prometheus(request: HttpRequest) -> HttpResponse:
    return by_prometheus(request)


async def asaving(request: HttpRequest) -> HttpResponse:
    await Document.objects.acreate(title="Title")
    return HttpResponse("body")


VIEWS: list[Any] = [quiet, five, by_prometheus, saving, aquiet, afive, aby_prometheus, asaving]

# Each page as the only one of a site, by name: the more patterns are tried before a page, the longer its request takes.
SITES = {
    **{view.__name__: (path("page/", view, name=view.__name__),) for view in VIEWS},
    "ruled": (path("page/", quiet, name="ruled"),),
    "aruled": (path("page/", aquiet, name="aruled"),),
}
