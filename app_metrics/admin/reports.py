from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.clickjacking import xframe_options_sameorigin

from ..core.calendar import today
from ..core.formatting import date_title
from ..models import Delivery, MetricSet, Unsubscription
from ..models.metrics import VIEW_PERMISSION
from ..models.primary import primary
from ..models.reports import FAILED, SENT_PERIODS, SKIPPED, UNDECIDED, WAITING, sent_period_choices
from ..notifications.outbox import describe
from ..reports.content import Report
from ..reports.planning import earliest_due
from ..reports.recipients import address_of
from ..reports.sending import next_report, rendered, send_test
from .base import Explained, OffMenu, OutgoingMailAdmin, PrimaryOnPost, ReadOnlyAdmin, SearchableAdmin

# The mail may use its own inline styles; nothing else in it may run or load.
MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
SHOWN_DELIVERIES = 10


class UnsubscriptionInline(PrimaryOnPost, admin.TabularInline):  # type: ignore[type-arg]
    """List unsubscriptions; deleting one lets its recipient get mail again."""

    model = Unsubscription
    extra = 0
    fields = readonly_fields = ("address", "created_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(MetricSet)
class MetricSetAdmin(Explained, SearchableAdmin):
    list_display = ("name", "send_daily", "send_weekly", "send_monthly", "declared")
    list_filter = ("send_daily", "send_weekly", "send_monthly", "declared")
    search_fields = ("name",)
    filter_horizontal = ("metrics",)
    readonly_fields = ("declared", "latest_deliveries")
    inlines = (UnsubscriptionInline,)
    change_form_template = "admin/app_metrics/metricset/change_form.html"
    help_texts = {
        "name": _("The subject of the mails begins with it."),
        "metrics": _("What the reports are about."),
        "email_recipients": _(
            "Users of this site who get the reports. They need an e-mail address and must be active."
        ),
        "send_daily": _("About each day, when it is over."),
        "send_weekly": _("About each week, when it is over."),
        "send_monthly": _("About each month, when it is over."),
    }

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        # As an attribute this would fail a system check if the project's users are not in the admin.
        users = self.admin_site._registry.get(MetricSet._meta.get_field("email_recipients").related_model)
        return ("email_recipients",) if users and users.search_fields else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj and obj.declared) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj and obj.declared) and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count the deliveries that are deleted with sets instead of listing them: there may be many thousands."""
        deliveries = primary(Delivery.objects).filter(metric_set__in=objs).count()
        counts = {self.opts.verbose_name_plural: len(objs), Delivery._meta.verbose_name_plural: deliveries}
        kept = {self.opts.verbose_name for each in objs if not self.has_delete_permission(request, each)}
        return [str(each) for each in objs], counts, kept, []

    @admin.display(description=_("latest deliveries"))
    def latest_deliveries(self, metric_set: MetricSet) -> str:
        latest = metric_set.deliveries.order_by("-pk")[:SHOWN_DELIVERIES]
        rows = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", map(_cells, latest))
        if not rows:
            return str(_("None yet."))
        heads = format_html_join("", '<th scope="col">{}</th>', ((each,) for each in _heads()))
        return format_html(
            '<table class="app-metrics-deliveries"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>{}',
            heads, rows, self._all_deliveries(metric_set),
        )  # fmt: skip

    def _all_deliveries(self, metric_set: MetricSet) -> str:
        if not self.admin_site.is_registered(Delivery):  # on an admin site of the project
            return ""
        url = reverse(f"{self.admin_site.name}:app_metrics_delivery_changelist")
        text = _("All deliveries")
        return format_html('<p><a href="{}?metric_set__id__exact={}">{}</a></p>', url, metric_set.pk, text)

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view
        return [
            path("<path:pk>/report/<str:period>/", view(self.report), name="app_metrics_metricset_report"),
            path("<path:pk>/report/<str:period>/mail/", view(self.mail), name="app_metrics_metricset_mail"),
            path("<path:pk>/report/<str:period>/test/", view(self.test), name="app_metrics_metricset_test"),
            *super().get_urls(),
        ]

    def report(self, request: HttpRequest, pk: str, period: str) -> HttpResponse:
        """Show the next report as text, and as the mail in a frame."""
        report = self._next_report(request, pk, period)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Next report"),
            "subtitle": str(report.metric_set),
            "opts": self.opts,
            "original": report.metric_set,
            "period": period,
            "periods": sent_period_choices(),
            "mail": rendered(report),
            "may_send": super().has_change_permission(request),
        }
        return TemplateResponse(request, "admin/app_metrics/metricset/report.html", context)

    @method_decorator(xframe_options_sameorigin)
    def mail(self, request: HttpRequest, pk: str, period: str) -> HttpResponse:
        """Return the HTML of the next report's mail."""
        mail = rendered(self._next_report(request, pk, period))
        return HttpResponse(mail.html, headers={"Content-Security-Policy": MAIL_POLICY})

    def test(self, request: HttpRequest, pk: str, period: str) -> HttpResponse:
        """Mail the next report to the current user."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not super().has_change_permission(request):
            raise PermissionDenied
        self._send(request, self._next_report(request, pk, period))
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:app_metrics_metricset_report", args=[pk, period]))

    def _send(self, request: HttpRequest, report: Report) -> None:
        address = address_of(request.user)
        if not address:
            self.message_user(request, _("Your account has no e-mail address."), messages.ERROR)
            return
        try:
            send_test(report, address)
        except Exception as error:
            text = _("The mail was not sent: %(error)s") % {"error": describe(error)}
            self.message_user(request, text, messages.ERROR)
        else:
            text = _("The report was sent to %(address)s.") % {"address": address}
            self.message_user(request, text, messages.SUCCESS)

    def _next_report(self, request: HttpRequest, pk: str, period: str) -> Report:
        metric_set = self.get_object(request, pk)
        # A report shows the numbers of metrics.
        if not (self.has_view_permission(request, metric_set) and request.user.has_perm(VIEW_PERMISSION)):
            raise PermissionDenied
        if metric_set is None or period not in SENT_PERIODS:
            raise Http404
        return next_report(metric_set, period)


@admin.register(Delivery)
class DeliveryAdmin(OutgoingMailAdmin):
    list_display = ("metric_set", "period", "start", "address", "status", "attempts", "sent_at", "reason")
    list_filter = ("status", "period", "metric_set")
    list_select_related = ("metric_set",)
    search_fields = ("address", "recipient", "error")
    date_hierarchy = "start"
    ordering = ("-pk",)
    actions = ("send_again",)

    @admin.action(description=_("Send at the next run"), permissions=["send"])
    def send_again(self, request: HttpRequest, deliveries: QuerySet[Delivery]) -> None:
        chosen = deliveries.filter(status__in=(FAILED, UNDECIDED, SKIPPED))
        late = chosen.exclude(_in_time()).count()
        again = chosen.filter(_in_time()).update(status=WAITING)
        text = ngettext("The next run will send %(count)d report.", "The next run will send %(count)d reports.", again)
        self.message_user(request, text % {"count": again})
        if late:
            text = ngettext("%(count)d report is too old to send.", "%(count)d reports are too old to send.", late)
            self.message_user(request, text % {"count": late}, messages.WARNING)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("app_metrics.change_delivery")


@admin.register(Unsubscription)
class UnsubscriptionAdmin(OffMenu, ReadOnlyAdmin):
    """List unsubscriptions; for a declared set, only deleting one here lets its recipient get mail again."""

    list_display = ("address", "metric_set", "created_at")
    list_filter = ("metric_set",)
    list_select_related = ("metric_set",)
    search_fields = ("address", "recipient")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)


def _in_time() -> Q:
    """Match the deliveries that the next run still sends."""
    return reduce(or_, (Q(period=each, start__gte=earliest_due(each, today())) for each in SENT_PERIODS))


def _heads() -> list[Any]:
    fields: list[Any] = [Delivery._meta.get_field(each) for each in ("period", "start", "address", "status")]
    return [capfirst(each.verbose_name) for each in fields]


def _cells(delivery: Delivery) -> tuple[Any, ...]:
    status = delivery.get_status_display()
    return (
        delivery.get_period_display(),
        date_title(delivery.start),
        delivery.address,
        _("%(status)s: %(error)s") % {"status": status, "error": gettext(delivery.error)} if delivery.error else status,
    )
