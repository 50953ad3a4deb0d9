from django.contrib import admin

from ..models import Annotation
from .base import OffMenu


@admin.register(Annotation)
class AnnotationAdmin(OffMenu):
    list_display = ("text", "at", "metric", "url")
    list_filter = ("metric",)
    list_select_related = ("metric",)
    search_fields = ("text", "url")
    fields = ("text", "at", "url", "metric")
