"""The URLs of a project with two custom admin sites: one with the dashboard, one without."""

from django.contrib import admin
from django.urls import path

from app_metrics.admin.dashboard import DashboardAdmin
from app_metrics.admin.metrics import MetricAdmin
from app_metrics.models import Dashboard, Metric

own = admin.AdminSite("own")
own.register(Dashboard, DashboardAdmin)
own.register(Metric, MetricAdmin)
bare = admin.AdminSite("bare")
bare.register(Metric, MetricAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("own/", own.urls), path("bare/", bare.urls)]
