from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What only recording and aggregation may write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OutgoingMailAdmin(ReadOnlyAdmin):
    """Mails whose own reasons, stored in English, are shown in the reader's language."""

    exclude = ("error",)
    readonly_fields = ("reason",)

    @admin.display(description=_("error"), ordering="error")
    def reason(self, mail: Any) -> str:
        return gettext(mail.error)
