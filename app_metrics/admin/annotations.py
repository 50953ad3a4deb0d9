from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import router, transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import Annotation, Metric
from .base import Explained, OffMenu

# A field of the form for several metrics, which the list that the action was chosen in lacks.
SENT = "annotated"


@admin.register(Annotation)
class AnnotationAdmin(Explained, OffMenu):
    list_display = ("text", "at", "metric", "url")
    list_filter = ("metric",)
    list_select_related = ("metric",)
    search_fields = ("text", "url")
    fields = ("text", "at", "url", "metric")
    help_texts = {"at": _("Charts and reports show it at this time.")}


def annotation_form(site: admin.AdminSite, request: HttpRequest) -> Any:
    """Return the form to annotate several metrics, with what the user has sent."""
    form = AnnotationAdmin(Annotation, site).get_form(request, fields=("text", "at", "url"))
    return form(request.POST if SENT in request.POST else None)


def annotate_each(site: admin.AdminSite, request: HttpRequest, form: Any, metrics: Iterable[Metric]) -> int:
    """Save a valid form for all of the metrics or for none, and log it as the admin does; return how many there are."""
    registered = AnnotationAdmin(Annotation, site)
    made = [Annotation(metric=metric, **form.cleaned_data) for metric in metrics]
    with transaction.atomic(using=router.db_for_write(Annotation)):
        for annotation in made:
            annotation.save()
            registered.log_addition(request, annotation, [{"added": {}}])
    return len(made)
