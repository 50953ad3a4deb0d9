"""The ledger: batches that must not be counted twice."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from .fields import ExactUUIDField


class LedgerRow(models.Model):
    """A batch that was counted and may be delivered again."""

    id = ExactUUIDField(primary_key=True)
    written_at = models.DateTimeField(_("written at"), db_index=True)

    class Meta:
        verbose_name = _("ledger row")
        verbose_name_plural = _("ledger rows")

    def __str__(self) -> str:
        return str(self.id)
