"""Count dropped events by reason: each cause is logged once, and the counts are recorded as a metric."""

import logging
import threading
import time

from .batch import Batch, Entry
from .forking import after_fork
from .labels import encode_labels
from .summary import COUNTER

logger = logging.getLogger("app_metrics")

# The metric that counts dropped events, labelled with the reason.
DROPPED_SLUG = "app_metrics_dropped"

BAD_ARGUMENT = "bad_argument"
BUFFER_FULL = "buffer_full"
BAD_MESSAGE = "bad_message"
FAILED_RULE = "failed_rule"
NO_BACKEND = "no_backend"
NOT_EXPORTED = "not_exported"
REFUSED = "refused"
RETRY_LIMIT = "retry_limit"

# The maximum number of logged causes that are remembered: a cause may contain a visitor's input.
_MAX_CAUSES = 1000

_lock = threading.Lock()
_pending: dict[str, int] = {}
_causes: set[str] = set()


def _start_afresh() -> None:
    """Begin with a free lock in a forked process, and leave the pending counts to the parent."""
    global _lock
    _lock = threading.Lock()
    _pending.clear()


after_fork(_start_afresh)


def drop(reason: str, cause: str, amount: int = 1) -> None:
    """Count `amount` lost events under a reason; `cause` is logged the first time it occurs."""
    with _lock:
        _pending[reason] = _pending.get(reason, 0) + amount
    warn_once(f"Not counted ({reason}): {cause}")


def drop_batch(reason: str, cause: str, batch: Batch) -> None:
    """Count the events of a batch as lost, including the dropped events that it reports."""
    events = (
        int(summary.total) if key.slug == DROPPED_SLUG else summary.count for key, summary in batch.summaries.items()
    )
    drop(reason, cause, sum(events))


def warn_once(cause: str) -> None:
    """Log a warning, but only the first time in this process."""
    with _lock:
        if cause in _causes or len(_causes) >= _MAX_CAUSES:
            return
        _causes.add(cause)
    logger.warning(cause)


def take_entries() -> list[Entry]:
    """Return the events dropped since the last call, as entries of the metric `app_metrics_dropped`."""
    if not _pending:
        return []
    with _lock:
        taken = dict(_pending)
        _pending.clear()
    now = time.time()
    return [(DROPPED_SLUG, COUNTER, encode_labels({"reason": reason}), amount, now) for reason, amount in taken.items()]
