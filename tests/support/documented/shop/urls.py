from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path


def page(request):
    return HttpResponse()


def named(*names):
    return [path(f"{name}/", page, name=name) for name in names]


urlpatterns = [
    path("admin/", admin.site.urls),
    path("downloads/", include((named("file"), "downloads"))),
    path("shop/", include((named("checkout", "import", "recommendations", "search"), "shop"))),
    *named("account_settings", "health"),
]
