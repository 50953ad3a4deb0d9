"""The contract of a backend."""

from collections.abc import Sequence

from django.core.checks import CheckMessage

from ..summary import Batch


class MetricsBackend:
    """Where batches go."""

    # Whether `write` may wait, for a database or a network. Defaults to True.
    waits = True

    def write(self, batch: Batch) -> None:
        """Store or send a batch. Mandatory.

        It runs on a thread, on an event loop only if `waits` is False, and may raise anything: the batch is then kept
        and written again under the same id, so a backend that can tell must count a batch only once.
        """
        raise NotImplementedError

    def keeps(self) -> bool:
        """Tell whether what is written now stays written. Defaults to True; False inside a caller's transaction."""
        return True

    def check(self) -> Sequence[CheckMessage]:
        """Return what is wrong with this backend's own configuration. Defaults to nothing."""
        return ()
