"""Plan the reports of closed periods, and mail each one at most once to each recipient."""

import email.policy
from collections.abc import Callable, Iterable
from datetime import date
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from typing import Any

import django
from django.conf import global_settings
from django.core.mail import EmailMultiAlternatives
from django.utils.translation import gettext_noop

from ..aggregation.run import aggregate
from ..conf import settings
from ..core.calendar import latest_closed, today
from ..core.periods import Period
from ..models import Delivery, MetricSet, Schedule
from ..models.beginnings import counted_before
from ..models.primary import beside, primary
from ..notifications.outbox import Outbox, Outcome, Skip, mail_connection, message_id
from .content import Report, build_report
from .declared_sets import declare
from .planning import (
    checked_day,
    chosen_sets,
    due_deliveries,
    plan,
    planned_through,
    reported_milestones,
    unreported_milestones,
)
from .recipients import Recipient, dashboard_url, recipients_of, sample_url, stop_url
from .rendering import Mail, render


class LinkHeader(UnstructuredHeader):
    """A header with a link, on one line: Python would fold a long link into encoded words, which are invalid there."""

    def fold(self, *, policy: Any) -> str:
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined]  # the registry adds the name


class ReportMail(EmailMultiAlternatives):
    """A mail with a link in `List-Unsubscribe`."""

    def message(self, **options: Any) -> Any:
        if django.VERSION >= (6, 0):  # older versions have no policies and encode nothing
            policy = options.get("policy", email.policy.default)
            headers = HeaderRegistry()
            headers.map_to_type("list-unsubscribe", LinkHeader)  # type: ignore[arg-type]  # as the documentation does
            options["policy"] = policy.clone(header_factory=headers)
        return super().message(**options)


def send_reports(
    *,
    sets: Iterable[str] | None = None,
    day: date | None = None,
    force: bool = False,
    chunk_size: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Aggregate, then mail every report that is due to each recipient who does not have it.

    `day` replaces today's date. `sets` are the names of the metric sets to send (default: all). `force` sends the
    reports on the latest closed periods again, also to recipients who have them. Failed reports are retried while
    their period is within `APP_METRICS_CATCH_UP`. `chunk_size` is that of the aggregation, and `on_progress` is called
    after each of its transactions and after each mail.

    Raises ValueError for a future day or an unknown set, TransactionManagementError inside a transaction, and the
    errors of `app_metrics.aggregation.aggregate`.
    """
    as_of = checked_day(day)
    with Outbox(on_progress) as outbox:
        outbox.outcome.undrained += aggregate(chunk_size=chunk_size, on_progress=on_progress).failures
        declare()
        outbox.expire(primary(Delivery.objects).select_related("metric_set"))
        for metric_set in chosen_sets(sets):
            plan(metric_set, as_of, force=force)
            outbox.post(due_deliveries(metric_set, as_of), Writer(metric_set).message)
    return outbox.outcome


def next_report(metric_set: MetricSet, period: str, as_of: date | None = None) -> Report:
    """Return a report on the latest closed period, with the milestones that its report lists or will list."""
    reported = Period(period)
    start = latest_closed(reported, as_of or today())
    schedule = beside(metric_set, Schedule.objects).filter(metric_set=metric_set, period=period).first()
    milestones = reported_milestones(metric_set, reported, start)
    milestones += unreported_milestones(metric_set, reported, planned_through(schedule, reported), start)
    return build_report(metric_set, period, start, milestones)


def rendered(report: Report, recipient: Recipient | None = None) -> Mail:
    """Render a report as a mail to a recipient; without one, its link to unsubscribe is a sample."""
    link = stop_url(report.metric_set, recipient) if recipient else sample_url()
    return render(report, stop_url=link, dashboard_url=dashboard_url(), contact=_contact())


def _contact() -> str:
    """Return the address to write to; "" if the project has none of its own."""
    address: str = settings.DEFAULT_FROM_EMAIL
    return "" if address == global_settings.DEFAULT_FROM_EMAIL else address


def message(report: Report, recipient: Recipient, headers: dict[str, str] | None = None) -> ReportMail:
    """Return the mail of a report to one recipient."""
    return _composed(
        rendered(report, recipient), recipient.address, {**_stop_headers(report, recipient), **(headers or {})}
    )


def send_test(report: Report, address: str) -> None:
    """Mail a report to one address, regardless of earlier mails. Raises the errors of the e-mail backend."""
    mail_connection().send_messages([_composed(rendered(report), address, {})])


def _composed(mail: Mail, address: str, headers: dict[str, str]) -> ReportMail:
    made = ReportMail(mail.subject, mail.text, to=[address], headers={"Auto-Submitted": "auto-generated", **headers})
    made.attach_alternative(mail.html, "text/html")
    return made


class Writer:
    """Writes the mails of one set; looks up the recipients once, and builds each report once."""

    def __init__(self, metric_set: MetricSet) -> None:
        self._recipients = {each.identity: each for each in recipients_of(metric_set)}
        self._reports: dict[tuple[str, date], Report] = {}

    def message(self, delivery: Delivery) -> ReportMail:
        """Return the mail of a delivery. Raises Skip if it is no longer wanted."""
        report, recipient = self.report(delivery), self._recipients[delivery.recipient]
        return message(report, recipient, {"Message-ID": message_id(delivery)})

    def report(self, delivery: Delivery) -> Report:
        """Return the report of a delivery. Raises Skip if it is no longer wanted."""
        if delivery.recipient not in self._recipients:
            raise Skip(gettext_noop("No longer a recipient."))
        if delivery.period not in delivery.metric_set.periods:
            raise Skip(gettext_noop("This report is no longer sent."))
        report = self._report(delivery)
        if not report.lines:
            raise Skip(gettext_noop("The set has no metrics."))
        # An empty report with milestones is sent: no later report lists them.
        if report.is_empty and not report.milestones:
            if not settings.APP_METRICS_SEND_ZERO_ACTIVITY:
                raise Skip(gettext_noop("Nothing was recorded."))
            if not counted_before([line.metric for line in report.lines], report.start):
                raise Skip(gettext_noop("Counting began later."))
        return report

    def _report(self, delivery: Delivery) -> Report:
        period, start = key = (delivery.period, delivery.start)
        if key not in self._reports:
            milestones = reported_milestones(delivery.metric_set, Period(period), start)
            self._reports[key] = build_report(delivery.metric_set, period, start, milestones)
        return self._reports[key]


def _stop_headers(report: Report, recipient: Recipient) -> dict[str, str]:
    """Return the headers that let mail programs offer to unsubscribe (RFC 2369, RFC 8058)."""
    link = stop_url(report.metric_set, recipient)
    if link is None:
        return {}
    return {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
