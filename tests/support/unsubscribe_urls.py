"""A site that includes the package's URLs and the admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("metrics/", include("app_metrics.urls")), path("admin/", admin.site.urls)]
