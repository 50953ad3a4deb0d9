from django.contrib import admin

from ..models import Alert, Milestone, Notice
from .base import OutgoingMailAdmin, ReadOnlyAdmin


@admin.register(Milestone)
class MilestoneAdmin(ReadOnlyAdmin):
    list_display = ("slug", "value", "total", "reached_at", "announced")
    list_filter = ("announced",)
    search_fields = ("slug",)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "changed_at", "value", "base", "evaluated_at", "error")
    list_filter = ("state",)
    search_fields = ("name",)


@admin.register(Notice)
class NoticeAdmin(OutgoingMailAdmin):
    list_display = ("subject", "address", "status", "planned_at", "sent_at", "reason")
    list_filter = ("status",)
    search_fields = ("subject", "address")
    ordering = ("-planned_at", "-pk")
