from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Show objects that only app_metrics itself writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OffMenu(admin.ModelAdmin):  # type: ignore[type-arg]
    """Leave a model out of the admin's menu; the health page links to its list. Permissions and URLs stay."""

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return {}


class OutgoingMailAdmin(OffMenu, ReadOnlyAdmin):
    """Show why a mail was not sent in the reader's language; the database stores our own reasons in English."""

    exclude = ("error",)
    readonly_fields = ("reason",)

    @admin.display(description=_("error"), ordering="error")
    def reason(self, mail: Any) -> str:
        return gettext(mail.error)
