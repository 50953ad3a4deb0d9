from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.db import transaction
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("", include("example_project.shop.urls")),
    path("accounts/", include("example_project.accounts.urls")),
    path("downloads/", include("example_project.downloads.urls")),
    path("admin/", admin.site.urls),
    # The link in the reports that stops them.
    path("metrics/", include("app_metrics.urls")),
    # Browsers ask for it on every page, the admin's too.
    path("favicon.ico", lambda request: HttpResponse(status=204)),
    # So that the demonstration needs no second server: a real site leaves its static files to one.
    path("static/<path:path>", transaction.non_atomic_requests(serve), {"insecure": True}),
]
