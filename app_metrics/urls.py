"""What a project may include: `path("metrics/", include("app_metrics.urls"))`."""

from django.urls import path

from .views import unsubscribe

app_name = "app_metrics"
urlpatterns = [path("unsubscribe/<str:token>/", unsubscribe, name="unsubscribe")]
