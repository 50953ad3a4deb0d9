"""Count dropped events by reason: each cause is logged once, and the counts are recorded as a metric."""

import logging
import time
from collections import Counter, deque

from .batch import Batch, Entry
from .forking import after_fork
from .labels import encode_labels
from .logs import log
from .summary import COUNTER

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

# Pending counts at which they are added up by reason, so that memory stays bounded.
_BLOCK = 1024

# A queue without a lock: a signal handler or a garbage collection may drop an event in the middle of these functions.
_pending: deque[tuple[str, int]] = deque()
_causes: set[str] = set()


def _start_afresh() -> None:
    """Leave the pending counts to the parent process."""
    _pending.clear()


after_fork(_start_afresh)


def drop(reason: str, cause: str, amount: int = 1) -> None:
    """Count `amount` lost events under a reason; `cause` is logged the first time it occurs."""
    _pending.append((reason, amount))
    if len(_pending) >= _BLOCK:
        _pending.extend(_take().items())
    warn_once(f"Not counted ({reason}): {cause}")


def drop_batch(reason: str, cause: str, batch: Batch) -> None:
    """Count the events of a batch as lost, including the dropped events that it reports."""
    events = (
        int(summary.total) if key.slug == DROPPED_SLUG else summary.count for key, summary in batch.summaries.items()
    )
    drop(reason, cause, sum(events))


def warn_once(cause: str) -> None:
    """Log a warning, but only the first time in this process; two threads at once may both log it."""
    if cause in _causes or len(_causes) >= _MAX_CAUSES:
        return
    _causes.add(cause)
    log(logging.WARNING, cause)


def take_entries() -> list[Entry]:
    """Return the events dropped since the last call, as entries of the metric `app_metrics_dropped`."""
    if not _pending:
        return []
    now = time.time()
    return [
        (DROPPED_SLUG, COUNTER, encode_labels({"reason": reason}), amount, now) for reason, amount in _take().items()
    ]


def _take() -> Counter[str]:
    """Take out the pending counts, added up by reason."""
    taken: Counter[str] = Counter()
    while _pending:
        try:
            reason, amount = _pending.popleft()
        except IndexError:  # another thread took it
            break
        taken[reason] += amount
    return taken
