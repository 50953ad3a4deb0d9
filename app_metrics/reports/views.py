from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from ..adoption.missing_tables import MissingTables, curing
from ..core.dropped import warn_once
from .recipients import SAMPLE, BadToken, read_token
from .recipients import unsubscribe as stop

TEMPLATE = "app_metrics/unsubscribe.html"


@login_not_required
@csrf_exempt  # a mail program posts here (RFC 8058); the signed token authorizes it
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask on GET whether to unsubscribe from the mails of a metric set, and unsubscribe on POST."""
    if token == SAMPLE:
        return render(request, TEMPLATE, {"state": "sample"})
    try:
        with curing():
            metric_set, _ = read_token(token)
            if request.method == "POST":
                stop(token)
    except MissingTables as missing:  # of no use to a recipient
        warn_once(f"Nobody can unsubscribe: {missing}", source="unsubscribe")
        return render(request, TEMPLATE, {"state": "failed"}, status=503)
    except BadToken:
        return render(request, TEMPLATE, {"state": "unknown"}, status=404)
    state = "stopped" if request.method == "POST" else "asked"
    return render(request, TEMPLATE, {"state": state, "metric_set": metric_set})
