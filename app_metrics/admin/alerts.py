from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..conf import settings
from ..models import Alert, Milestone, Notice
from ..models.alerts import FIRED, STATE_NAMES
from .base import OffMenu, OutgoingMailAdmin, ReadOnlyAdmin


@admin.register(Milestone)
class MilestoneAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("slug", "value", "total", "reached_at", "announced")
    list_filter = ("announced",)
    search_fields = ("slug",)


# What the admin shows as the state while an alert cannot be evaluated; it keeps its state meanwhile.
UNKNOWN = "unknown"
NOT_EVALUATED = pgettext_lazy("alert", "not evaluated")
FIRED_BEFORE = pgettext_lazy("alert", "fired, then not evaluated")


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (*STATE_NAMES, (UNKNOWN, NOT_EVALUATED))

    def queryset(self, request: HttpRequest, alerts: QuerySet[Alert]) -> QuerySet[Alert]:
        state = self.value()
        if state == UNKNOWN:
            return alerts.exclude(error="")
        return alerts.filter(state=state, error="") if state else alerts


@admin.register(Alert)
class AlertAdmin(OffMenu, ReadOnlyAdmin):
    list_display = ("name", "shown_state", "changed_at", "value", "base", "evaluated_at", "error")
    list_filter = (StateFilter,)
    search_fields = ("name",)
    fields = (*list_display, "reported_state", "reported_at")
    readonly_fields = ("shown_state",)

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, alert: Alert) -> Any:
        if not alert.error:
            return alert.get_state_display()
        return FIRED_BEFORE if alert.state == FIRED else NOT_EVALUATED

    def is_on_menu(self, request: HttpRequest) -> bool:
        # Without rules, there are only the leftovers of earlier rules.
        return bool(settings.APP_METRICS_ALERTS) or super().is_on_menu(request)


@admin.register(Notice)
class NoticeAdmin(OutgoingMailAdmin):
    list_display = ("subject", "address", "status", "planned_at", "sent_at", "reason")
    list_filter = ("status",)
    search_fields = ("subject", "address")
    ordering = ("-planned_at", "-pk")
