"""The contract of a backend."""

from collections.abc import Sequence

from django.core.checks import CheckMessage

from ..core.batch import Batch


class MetricsBackend:
    """Where batches go."""

    # Whether `write` may wait, for a database or a network. Defaults to True.
    blocks = True
    # Whether what is written reaches the totals. Defaults to False.
    feeds_totals = False
    # Whether a batch that `write` was given is recognised when the ledger brings it once more. Defaults to True; only
    # asked where `feeds_totals` is True.
    deduplicates = True

    def write(self, batch: Batch) -> None:
        """Store or send a batch. Mandatory.

        It runs on a thread, on an event loop only if `blocks` is False, and may raise anything: the batch is then kept
        and written again under the same id, so a backend that can tell must count a batch only once.
        """
        raise NotImplementedError

    def is_durable(self) -> bool:
        """Tell whether what is written now stays written. Defaults to True; False inside a caller's transaction."""
        return True

    def drain(self) -> None:
        """Bring what waits at the destination to the item log. Defaults to nothing.

        Every aggregation calls it first, perhaps several at once, and it must bring everything once. It may raise
        anything; the aggregation then goes on with the items there are, and says so.
        """

    def pending(self) -> Sequence[Batch]:
        """Return what waits at the destination, each batch under the id by which `drain` brings it by the ledger.

        Readings add it to what is stored. It must not wait for long, as somebody waits for a page, and may raise
        anything; the page then says that numbers are missing. Defaults to nothing.
        """
        return ()

    def check_destination(self) -> Sequence[CheckMessage]:
        """Return what is wrong at the destination, which may be asked. Defaults to nothing.

        It belongs to `manage.py check --database …`, whereas `check` runs before every command and asks nobody.
        """
        return ()

    def check(self) -> Sequence[CheckMessage]:
        """Return what is wrong with this backend's own configuration. Defaults to nothing."""
        return ()
