from pathlib import Path

from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render

GUIDES = {path.name: path for path in sorted((Path(__file__).parent / "files").glob("*.txt"))}


@transaction.non_atomic_requests
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "downloads/index.html", {"guides": GUIDES.values()})


@transaction.non_atomic_requests
def file(request: HttpRequest, name: str) -> FileResponse:
    if name not in GUIDES:
        raise Http404(f"There is no guide called {name}.")
    return FileResponse(GUIDES[name].open("rb"), as_attachment=True)
