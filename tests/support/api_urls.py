"""A site that includes the package's URLs under a prefix of its own."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("stats/", include("app_metrics.urls")), path("admin/", admin.site.urls)]
