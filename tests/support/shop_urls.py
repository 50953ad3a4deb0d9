"""The pages of a shop that records nothing itself, for tests of rules on real servers."""

from datetime import UTC, datetime, timedelta

from django.contrib.auth import authenticate, login
from django.contrib.auth.models import User
from django.dispatch import Signal
from django.http import HttpResponse
from django.urls import include, path

from tests.testapp.models import Document, Order

PLACED = datetime(2026, 1, 1, tzinfo=UTC)

paid = Signal()
ordered = Signal()  # sent by the model, about a row


def page(request, **kwargs):
    return HttpResponse("a page")


def order(request):
    """Place an order that is paid 90 seconds later; both are rolled back if the query has "fail"."""
    order = Order.objects.create(placed_at=PLACED, plan=request.GET["plan"], amount=request.GET["amount"])
    ordered.send(sender=Order, instance=order)
    paid.send(sender=None, order=order, paid_at=PLACED + timedelta(seconds=90))
    if "fail" in request.GET:
        raise RuntimeError("after the order was paid")
    return HttpResponse("paid")


def stock(request, pages):
    Document.objects.create(title="a", pages=pages)
    return HttpResponse("stored")


def print_all(request):
    """Create a document for each title of the query, and change those of one title."""
    Document.counted.bulk_create([Document(title=title) for title in request.GET.getlist("title")])
    Document.counted.filter(title="b").update(pages=0)
    return HttpResponse("printed")


def enter(request, name):
    """Sign up, or log in; "nobody" may not."""
    if name == "nobody":
        authenticate(request, username=name)
    else:
        user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": name == "editor"})
        login(request, user)
    return HttpResponse("entered")


def is_internal(user):
    return user.username == "robot"


def rows_of(request, response):
    return [{"num": int(number), "labels": {"kind": kind}} for kind, number in request.GET.items()]


def closes(get_response):
    """A middleware that answers some requests itself, those of static files among them, as WhiteNoise does."""

    def answer(request):
        if request.path.startswith("/static/"):
            return HttpResponse("body {}", content_type="text/css")
        return HttpResponse(status=503) if request.path == "/closed/" else get_response(request)

    return answer


items = ([path("item/", page, name="item")], "items")
regions = ([path("eu/", include(items, namespace="eu")), path("us/", include(items, namespace="us"))], "regions")

urlpatterns = [
    path("", page, name="home"),
    path("search/", page, name="search"),
    path("book/<int:pk>/", page, name="book"),
    path("order/", order, name="order"),
    path("stock/<int:pages>/", stock, name="stock"),
    path("print/", print_all, name="print"),
    path("import/", page, name="import"),
    path("enter/<str:name>/", enter, name="enter"),
    path("regions/", include(regions)),
]
