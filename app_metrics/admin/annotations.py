from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db import router, transaction
from django.db.models import DateTimeField
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..models import Annotation, Metric
from .base import Explained, OffMenu

# A field of the form for several metrics, which the list that the action was chosen in lacks.
SENT = "annotated"


class NamedDateTime(AdminSplitDateTime):
    """Django's date and time, with a name for each of the two inputs, which screen readers say."""

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        names = (pgettext_lazy("input", "Date"), pgettext_lazy("input", "Time"))
        for widget, name in zip(self.widgets, names, strict=True):
            widget.attrs["aria-label"] = name


@admin.register(Annotation)
class AnnotationAdmin(Explained, OffMenu):
    list_display = ("text", "at", "metric", "url")
    list_filter = ("metric",)
    list_select_related = ("metric",)
    search_fields = ("text", "url")
    fields = ("text", "at", "url", "metric")
    formfield_overrides = {DateTimeField: {"widget": NamedDateTime}}
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
