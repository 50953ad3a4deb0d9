from django.contrib import admin
from django.http import HttpRequest

from ..conf import settings
from ..models import Alert, Milestone, Notice
from .base import OffMenu, OutgoingMailAdmin, ReadOnlyAdmin


@admin.register(Milestone)
class MilestoneAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("slug", "value", "total", "reached_at", "announced")
    list_filter = ("announced",)
    search_fields = ("slug",)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "changed_at", "value", "base", "evaluated_at", "error")
    list_filter = ("state",)
    search_fields = ("name",)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        # Without rules, there are only the leftovers of earlier rules.
        return super().get_model_perms(request) if settings.APP_METRICS_ALERTS else {}


@admin.register(Notice)
class NoticeAdmin(OutgoingMailAdmin):
    list_display = ("subject", "address", "status", "planned_at", "sent_at", "reason")
    list_filter = ("status",)
    search_fields = ("subject", "address")
    ordering = ("-planned_at", "-pk")
