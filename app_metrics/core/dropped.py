"""Count dropped events by reason: the causes are logged, and the counts are recorded as a metric."""

import logging
import time
from collections import Counter, deque

from .batch import Batch, Entry
from .forking import after_fork
from .labels import encode_labels
from .logs import log
from .plain_text import cut
from .summary import COUNTER
from .test_runs import in_tests

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

# A visitor may vary causes without end, so logging is limited. In SECONDS, each source of a reason, which is a rule, a
# function or a metric, logs at most CAUSES different causes; sources beyond the first SOURCES share one limit.
CAUSES = 10
SOURCES = 100
SECONDS = 3600
MAX_CAUSE_LENGTH = 400

# Pending counts at which they are added up by reason, so that memory stays bounded.
_BLOCK = 1024

# A queue without a lock: a signal handler or a garbage collection may drop an event in the middle of these functions.
_pending: deque[tuple[str, int]] = deque()
# The logged causes by reason and source, and when the first of them was logged.
_causes: dict[tuple[str, str], set[str]] = {}
_since = 0.0


def _start_afresh() -> None:
    """Leave the pending counts to the parent process."""
    _pending.clear()


after_fork(_start_afresh)


def drop(reason: str, cause: str, amount: int = 1, *, source: str = "") -> None:
    """Count `amount` lost events under a reason; log the cause as `warn_once` does, apart from other reasons."""
    in_tests()  # so that it is known at the end of the tests, when only drops may be pending
    _pending.append((reason, amount))
    if len(_pending) >= _BLOCK:
        _pending.extend(_take().items())
    _warn(reason, source, f"Not counted ({reason}): {cause}")


def drop_batch(reason: str, cause: str, batch: Batch) -> None:
    """Count the events of a batch as lost, including the dropped events that it reports."""
    events = (
        int(summary.total) if key.slug == DROPPED_SLUG else summary.count for key, summary in batch.summaries.items()
    )
    drop(reason, cause, sum(events))


def warn_once(cause: str, *, source: str = "") -> None:
    """Log a warning, cut to 400 characters: each cause once an hour, and at most ten different ones of a source.

    Two threads at once may both log a cause.
    """
    _warn("", source, cause)


def _warn(reason: str, source: str, cause: str) -> None:
    cause = cut(cause, MAX_CAUSE_LENGTH)
    known = _known_causes(reason, source)
    if cause in known or len(known) >= CAUSES:
        return
    known.add(cause)
    is_last = len(known) == CAUSES
    log(logging.WARNING, "%s%s", cause, " Further causes of this kind are not logged for an hour." if is_last else "")


def _known_causes(reason: str, source: str) -> set[str]:
    global _since
    now = time.monotonic()
    if now - _since > SECONDS:
        _causes.clear()
        _since = now
    if (reason, source) not in _causes and len(_causes) >= SOURCES:
        source = ""
    return _causes.setdefault((reason, source), set())


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
