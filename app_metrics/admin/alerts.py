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
class AlertAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("name", "state", "changed_at", "value", "base", "evaluated_at", "error")
    list_filter = ("state",)
    search_fields = ("name",)

    def is_on_menu(self, request: HttpRequest) -> bool:
        # Without rules, there are only the leftovers of earlier rules.
        return bool(settings.APP_METRICS_ALERTS) or super().is_on_menu(request)


@admin.register(Notice)
class NoticeAdmin(OutgoingMailAdmin):
    list_display = ("subject", "address", "status", "planned_at", "sent_at", "reason")
    list_filter = ("status",)
    search_fields = ("subject", "address")
    ordering = ("-planned_at", "-pk")
