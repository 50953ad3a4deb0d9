"""URLs that a project may include: `path("metrics/", include("app_metrics.urls"))`."""

from django.urls import path

from .api.ratios import list_ratios, show_ratio_series
from .api.views import list_metrics, prometheus, show_description, show_series, show_totals
from .reports.views import unsubscribe

app_name = "app_metrics"
urlpatterns = [
    path("unsubscribe/<str:token>/", unsubscribe, name="unsubscribe"),
    path("api/metrics/", list_metrics, name="api-metrics"),
    # Not <slug:…>, so that the API itself answers a bad slug: in JSON, and only after it has checked the access.
    path("api/metrics/<str:slug>/series/", show_series, name="api-series"),
    path("api/metrics/<str:slug>/totals/", show_totals, name="api-totals"),
    path("api/ratios/", list_ratios, name="api-ratios"),
    path("api/ratios/<str:slug>/series/", show_ratio_series, name="api-ratio-series"),
    path("api/openapi.json", show_description, name="api-openapi"),
    path("prometheus/", prometheus, name="prometheus"),
]
