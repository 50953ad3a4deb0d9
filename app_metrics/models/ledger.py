"""What was counted by way of the ledger."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class LedgerRow(models.Model):
    """A batch that came by a way on which it may come again, and was counted; the next time it is not."""

    id = models.UUIDField(primary_key=True)
    written_at = models.DateTimeField(_("written at"), db_index=True)

    class Meta:
        verbose_name = _("ledger row")
        verbose_name_plural = _("ledger rows")

    def __str__(self) -> str:
        return str(self.id)
