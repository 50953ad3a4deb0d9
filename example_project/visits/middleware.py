"""An access log of its own, with which the demo compares what app_metrics counts and measures."""

from time import perf_counter

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

from .models import Visit

PATH_LENGTH = Visit._meta.get_field("path").max_length


class InnerStopwatchMiddleware(MiddlewareMixin):
    """Measure a little less than a middleware around this one measures."""

    def process_request(self, request: HttpRequest) -> None:
        request.inner_start = perf_counter()

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        request.inner_seconds = perf_counter() - request.inner_start
        return response


class AccessLogMiddleware(MiddlewareMixin):
    """Log the responses to those who are logged in. Measure a little more than the middleware inside this one."""

    def process_request(self, request: HttpRequest) -> None:
        request.outer_start = perf_counter()

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        seconds = perf_counter() - request.outer_start
        # A request to a host that is not allowed is refused before another middleware adds the user.
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            Visit.objects.create(
                user=user,
                method=request.method,
                path=request.get_full_path()[:PATH_LENGTH],
                status=response.status_code,
                at_least=request.inner_seconds,
                at_most=seconds,
                at=timezone.now(),
            )
        return response
