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
    # The unsubscribe link in the reports.
    path("metrics/", include("app_metrics.urls")),
    # Browsers request it for every page, including the admin's.
    path("favicon.ico", lambda request: HttpResponse(status=204)),
    # The demonstration needs no second server; a real site would use one for static files.
    path("static/<path:path>", transaction.non_atomic_requests(serve), {"insecure": True}),
]
