"""Metric sets and their recipients, the progress of their reports, and a row for every mail."""

from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..core.periods import DAY, MONTH, WEEK, Period
from ..core.validation import MAX_ADDRESS_LENGTH
from .alerts import Milestone
from .fields import ExactCharField
from .metrics import Metric
from .natural_keys import NaturalKeyModel


class ReportPeriod(NamedTuple):
    """How a period is reported."""

    # The field that enables it.
    field: str
    # How many periods a chart shows, including the reported one.
    pictured: int
    # The name of the period that the reported one is compared with.
    before: Any


# The periods that a set can have reports about.
SENT_PERIODS = {
    DAY: ReportPeriod("send_daily", 14, _("day before")),
    WEEK: ReportPeriod("send_weekly", 12, _("week before")),
    MONTH: ReportPeriod("send_monthly", 12, _("month before")),
}

WAITING, SENDING, SENT, FAILED, UNDECIDED, SKIPPED = (
    "waiting", "sending", "sent", "failed", "undecided", "skipped",
)  # fmt: skip
# A mail in one of these is still to be sent, or its sender may have stopped.
UNSENT = (WAITING, FAILED, SENDING)
STATUS_NAMES = (
    (WAITING, _("waiting")),
    (SENDING, _("being sent")),
    (SENT, _("sent")),
    (FAILED, _("failed")),
    (UNDECIDED, _("undecided")),
    (SKIPPED, _("skipped")),
)


def sent_period_choices() -> list[tuple[Period, Any]]:
    """Return the periods of reports and their names; a function, so that a new one needs no migration."""
    return [(period, period.display_name) for period in SENT_PERIODS]


def validate_addresses(text: str) -> None:
    """Raise ValidationError unless every line holds an e-mail address or nothing."""
    for address in addresses_in(text):
        try:
            validate_email(address)
        except ValidationError as error:
            raise ValidationError(
                _("“%(address)s” is not an e-mail address."), code="invalid", params={"address": address}
            ) from error


def addresses_in(text: str) -> list[str]:
    """Return the addresses in a text that has one per line."""
    return [address for line in text.splitlines() if (address := line.strip())]


class MetricSet(NaturalKeyModel):
    """Metrics that are reported together, their recipients, and how often."""

    NATURAL_KEY = ("name",)

    name = models.CharField(_("name"), max_length=200, unique=True)
    metrics = models.ManyToManyField(Metric, verbose_name=_("metrics"), related_name="sets", blank=True)
    email_recipients = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("users"),
        related_name="+",
        blank=True,
    )
    email_addresses = models.TextField(
        _("e-mail addresses"),
        blank=True,
        validators=[validate_addresses],
        help_text=_("Recipients who are not users of this site: one address per line."),
    )
    send_daily = models.BooleanField(_("send daily"), default=True)
    send_weekly = models.BooleanField(_("send weekly"), default=False)
    send_monthly = models.BooleanField(_("send monthly"), default=False)
    # Whether the set is declared in APP_METRICS_SETS; it is updated from there before reports are sent.
    declared = models.BooleanField(_("declared in the settings"), default=False, editable=False)

    class Meta:
        verbose_name = _("metric set")
        verbose_name_plural = _("metric sets")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def periods(self) -> list[Period]:
        """The periods that the set has reports about."""
        return [period for period, each in SENT_PERIODS.items() if getattr(self, each.field)]


class Schedule(NaturalKeyModel):
    """The progress of a set's daily, weekly or monthly reports: the last day that was planned, and when."""

    NATURAL_KEY = ("metric_set__name", "period")

    metric_set = models.ForeignKey(
        MetricSet, verbose_name=_("metric set"), on_delete=models.CASCADE, related_name="schedules"
    )
    period = models.CharField(_("period"), max_length=10, choices=sent_period_choices)
    through = models.DateField(pgettext_lazy("last day", "through"))
    planned_at = models.DateTimeField(_("planned at"))

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        constraints = (models.UniqueConstraint(fields=("metric_set", "period"), name="app_metrics_schedule_unique"),)

    def __str__(self) -> str:
        return f"{self.period} {self.through}"


class ReportedMilestone(NaturalKeyModel):
    """A milestone that only one report of a schedule lists: the one about the period that begins at `start`."""

    NATURAL_KEY = ("schedule__metric_set__name", "schedule__period", "milestone__slug", "milestone__value")

    schedule = models.ForeignKey(
        Schedule,
        verbose_name=_("schedule"),
        on_delete=models.CASCADE,
        related_name="reported_milestones",
        db_index=False,  # the unique constraint begins with it
    )
    milestone = models.ForeignKey(
        Milestone, verbose_name=_("milestone"), on_delete=models.CASCADE, related_name="reported"
    )
    start = models.DateField(_("start"))

    class Meta:
        verbose_name = _("reported milestone")
        verbose_name_plural = _("reported milestones")
        constraints = (
            models.UniqueConstraint(fields=("schedule", "milestone"), name="app_metrics_reported_milestone_unique"),
        )

    def __str__(self) -> str:
        return f"{self.schedule} {self.milestone}"


class OutgoingMail(models.Model):
    """One mail to one recipient, and its status."""

    # "user:" and the user's primary key, or an e-mail address in lower case.
    recipient = ExactCharField(_("recipient"), max_length=MAX_ADDRESS_LENGTH)
    address = models.CharField(_("e-mail address"), max_length=MAX_ADDRESS_LENGTH)
    status = models.CharField(_("status"), max_length=10, choices=STATUS_NAMES, default=WAITING, db_index=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error = models.TextField(_("error"), blank=True)
    planned_at = models.DateTimeField(_("planned at"))
    claimed_at = models.DateTimeField(_("last tried at"), null=True, blank=True)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)

    class Meta:
        abstract = True


class Delivery(OutgoingMail, NaturalKeyModel):
    """One report of a set to one recipient; the row ensures that it is sent at most once."""

    NATURAL_KEY = ("metric_set__name", "period", "start", "recipient")

    metric_set = models.ForeignKey(
        MetricSet, verbose_name=_("metric set"), on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    period = models.CharField(_("period"), max_length=10, choices=sent_period_choices)
    start = models.DateField(_("start"))

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = (
            models.UniqueConstraint(
                fields=("metric_set", "period", "start", "recipient"), name="app_metrics_delivery_unique"
            ),
        )

    def __str__(self) -> str:
        return f"{self.metric_set}, {self.get_period_display()} {self.start}, {self.address}"


# Called a notification everywhere else: a new name of its table would break deployments that run both releases.
class Notice(OutgoingMail):
    """A notification: a mail about a milestone or an alert; its text is stored when it is planned."""

    subject = models.CharField(_("subject"), max_length=500)
    text = models.TextField(_("text"))

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")

    def __str__(self) -> str:
        return f"{self.subject}, {self.address}"


class Unsubscription(NaturalKeyModel):
    """A recipient who unsubscribed from a set, and their address at that time."""

    NATURAL_KEY = ("metric_set__name", "recipient")

    metric_set = models.ForeignKey(
        MetricSet,
        verbose_name=_("metric set"),
        on_delete=models.CASCADE,
        related_name="unsubscriptions",
        db_index=False,
    )
    recipient = ExactCharField(_("recipient"), max_length=MAX_ADDRESS_LENGTH)
    address = models.CharField(_("e-mail address"), max_length=MAX_ADDRESS_LENGTH)
    created_at = models.DateTimeField(_("unsubscribed at"), auto_now_add=True)

    class Meta:
        verbose_name = _("unsubscription")
        verbose_name_plural = _("unsubscriptions")
        constraints = (
            models.UniqueConstraint(fields=("metric_set", "recipient"), name="app_metrics_unsubscription_unique"),
        )

    def __str__(self) -> str:
        return self.address
