"""The jobs that recur: when each is due, and who did it last."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from .natural_keys import NaturalKeyModel


class RecurringJob(NaturalKeyModel):
    """When the autopilot does a job next; a process that moves `due_at` on has the lease of the job until then."""

    NATURAL_KEY = ("name",)

    name = models.CharField(_("name"), max_length=20, primary_key=True)
    due_at = models.DateTimeField(_("due at"))
    # When the autopilot finished the job last, and what went wrong then.
    finished_at = models.DateTimeField(_("finished at"), null=True)
    problem = models.TextField(_("problem"), blank=True)
    # When a scheduler, such as cron, last ran the command that does the job.
    scheduled_at = models.DateTimeField(_("run by a scheduler at"), null=True)

    class Meta:
        verbose_name = _("recurring job")
        verbose_name_plural = _("recurring jobs")

    def __str__(self) -> str:
        return str(self.name)
