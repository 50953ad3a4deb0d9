from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.db import router
from django.db.models import DecimalField
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import number_format
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..adoption.missing_tables import MissingTables, curing
from ..models import Dashboard
from ..models.fields import unicode_text
from ..models.primary import primary


class PrimaryOnPost(BaseModelAdmin):  # type: ignore[type-arg]
    """Answer a POST from the database that it writes to: a read replica may lack what it changes."""

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        return primary(rows) if request.method == "POST" else rows

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if request.method == "POST":
            options["using"] = router.db_for_write(db_field.remote_field.model)
        return super().formfield_for_manytomany(db_field, request, **options)


class Explained(BaseModelAdmin):  # type: ignore[type-arg]
    """Give fields of a form a help text, by the name of the field."""

    help_texts: Mapping[str, Any] = {}

    def formfield_for_dbfield(self, db_field: Any, request: Any, **options: Any) -> Any:
        if db_field.name in self.help_texts:
            options["help_text"] = self.help_texts[db_field.name]
        return super().formfield_for_dbfield(db_field, request, **options)


class CuringAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Say instead of a list, a form or another page of an object what to do if its tables are missing."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return self.answer(super().changelist_view, request, extra_context=extra_context)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        def view(request: HttpRequest) -> HttpResponse:
            response = form(request, object_id, form_url, extra_context)
            # A form reads the choices of a field only while it is rendered.
            return response.render() if isinstance(response, TemplateResponse) else response

        form = super().changeform_view
        return self.answer(view, request)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        return self.answer(super().delete_view, request, object_id=object_id, extra_context=extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        return self.answer(super().history_view, request, object_id=object_id, extra_context=extra_context)

    def answer(self, view: Callable[..., HttpResponse], request: HttpRequest, **arguments: Any) -> HttpResponse:
        """Answer a request; if tables are missing, say what to do about it."""
        try:
            with curing():
                return view(request, **arguments)
        except MissingTables as missing:
            cure = str(missing)
        title = capfirst(str(self.opts.verbose_name_plural))
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "cure": cure}
        return TemplateResponse(request, "admin/app_metrics/missing_tables.html", context, status=503)


class SearchableAdmin(PrimaryOnPost, CuringAdmin):
    """Search for any text, also in tables that MariaDB made under latin1."""

    def get_search_fields(self, request: HttpRequest) -> Any:
        return list(self._texts())

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        searched = queryset.alias(**self._texts()) if search_term else queryset
        return super().get_search_results(request, searched, search_term)

    def _texts(self) -> dict[str, Any]:
        return {f"text_of_{name.replace('__', '_')}": unicode_text(name) for name in self.search_fields}


@cache
def plain_column(model: Any, name: str) -> Any:
    """Return a column that shows a number as it is read; Django would add zeros up to the field's decimal places."""
    field = next((each for each in model._meta.fields if each.name == name), None)
    if not isinstance(field, DecimalField):
        return name

    @admin.display(description=field.verbose_name, ordering=name)
    def column(row: Any) -> str | None:
        number = getattr(row, name)
        return None if number is None else number_format(number)

    return column


class ReadOnlyAdmin(SearchableAdmin):
    """Show objects that only app_metrics itself writes."""

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._plain(super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._plain(super().get_fields(request, obj))

    def _plain(self, names: Any) -> list[Any]:
        model: Any = self.model
        return [plain_column(model, name) for name in names]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OffMenu(SearchableAdmin):
    """Leave a model off the menu of users who may view the health page, which links to the model's list."""

    def is_on_menu(self, request: HttpRequest) -> bool:
        site = self.admin_site
        return not (site.is_registered(Dashboard) and site.get_model_admin(Dashboard).has_view_permission(request))

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return super().get_model_perms(request) if self.is_on_menu(request) else {}


class OutgoingMailAdmin(OffMenu, ReadOnlyAdmin):
    """Show why a mail was not sent in the reader's language; the database stores our own reasons in English."""

    exclude = ("error",)
    readonly_fields = ("reason",)

    @admin.display(description=_("error"), ordering="error")
    def reason(self, mail: Any) -> str:
        return gettext(mail.error)
