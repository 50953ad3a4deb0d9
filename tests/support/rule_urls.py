"""The pages for tests of the instrumentation: one for every kind of response."""

from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.dispatch import Signal
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from tests.testapp.models import Document

# Sent as packages send signals about a row: by its model, with the row as `instance`.
registered = Signal()


@csrf_exempt
def page(request: HttpRequest, status: int = 200) -> HttpResponse:
    return HttpResponse(status=status)


async def async_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class OnlyGet(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def failing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("this page fails")


@csrf_exempt
def signup(request: HttpRequest) -> HttpResponse:
    registered.send(sender=User, instance=UserCreationForm(request.POST).save())
    return HttpResponse(status=201)


def half_signup(request: HttpRequest) -> HttpResponse:
    registered.send(sender=User, instance=User.objects.create(username="half"))
    raise RuntimeError("after the user was saved")


def order(request: HttpRequest) -> HttpResponse:
    Document.objects.create(title="ordered")
    return HttpResponse()


def titles(request: HttpRequest) -> HttpResponse:
    """Create a document for each title of the query, and mark all of them as read."""
    Document.counted.bulk_create([Document(title=title, plan=title) for title in request.GET.getlist("title")])
    Document.counted.update(pages=0)
    if "fail" in request.GET:
        raise RuntimeError("after the documents were saved")
    return HttpResponse()


async def async_titles(request: HttpRequest) -> HttpResponse:
    await Document.counted.abulk_create([Document(title=title) for title in request.GET.getlist("title")])
    await Document.counted.aupdate(pages=0)
    return HttpResponse()


shop = ([path("item/", page, name="item")], "items")
regions = ([path("eu/", include(shop, namespace="eu")), path("us/", include(shop, namespace="us"))], "regions")

urlpatterns = [
    path("page/", page, name="page"),
    path("answer/<int:status>/", page, name="answer"),
    path("async/", async_page, name="async"),
    path("only-get/", OnlyGet.as_view(), name="only-get"),
    path("missing/", missing, name="missing"),
    path("forbidden/", forbidden, name="forbidden"),
    path("failing/", failing, name="failing"),
    path("private/", login_required(page), name="private"),
    path("unnamed/", page),
    path("signup/", signup, name="signup"),
    path("half-signup/", half_signup, name="half-signup"),
    path("order/", order, name="order"),
    path("titles/", titles, name="titles"),
    path("async-titles/", async_titles, name="async-titles"),
    path("login/", auth.LoginView.as_view(next_page="/page/"), name="login"),
    path("logout/", auth.LogoutView.as_view(next_page="/page/"), name="logout"),
    path("shops/", include(regions)),
]
