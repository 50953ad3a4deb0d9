"""Move pending batches from the backend's destination and from the spool to the item log, before an aggregation."""

import logging
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from ..conf import settings
from ..core.batch import Batch, Key
from ..core.logs import log
from ..core.plain_text import brief
from ..core.serialization import NewerBatchError
from ..core.summary import Summary, merge_each_into
from ..storage.dialects.base import BAD_DATA
from ..storage.ledger import write_once
from ..storage.transactions import between_others
from ..storage.turns import Turns
from ..transport import segments, spool
from ..transport.loading import get_backend, load_backend, other_paths
from ..transport.retrying import RetryingBackend

logger = logging.getLogger("app_metrics")

# Records per transaction, because a commit costs more than its records.
AT_ONCE = 200


def gather() -> list[str]:
    """Move pending batches to the item log; return the failures, one line each.

    Batches that cannot be moved stay where they are, for the next run. The journal of a database is moved even if
    another backend is configured by now.
    """
    others = (failure for path in other_paths() for failure in gather_from(path))
    return [*replay(), *_drain(), *others]


def _drain() -> list[str]:
    try:
        backend = get_backend()
    except ImproperlyConfigured:
        return []  # nothing was ever sent there; the system check reports it
    return _drained(backend)


def gather_from(path: str) -> list[str]:
    """Move the pending batches of a backend that was configured before; return the failures, one line each.

    Raises ValueError if there is no such backend.
    """
    try:
        backend = load_backend(path)
    except ImproperlyConfigured as error:
        raise ValueError(str(error)) from error
    return _drained(RetryingBackend(backend))


def _drained(backend: RetryingBackend) -> list[str]:
    try:
        backend.drain()
    except Exception as error:
        failure = f"The backend's pending batches could not be drained: {brief(error)}"
        log(logging.ERROR, "%s", failure, exc_info=True)
        return [failure]
    return []


def replay() -> list[str]:
    """Write the spool, and the journals of processes that are gone, each batch once; return the failures.

    A failure is one line. Batches that cannot be written stay in their file for the next run. Several processes may do
    this at once.
    """
    if not segments.CAN_LOCK:
        return []
    failures: list[str] = []
    for segment in [*spool.segments(), *spool.parts()]:
        try:
            failures += _replay(segment)
        except OSError as error:
            logger.exception("A file of the spool could not be read or deleted")
            failures.append(f"{segment} could not be drained: {error!r}")
        except Exception as error:
            logger.exception("The spool could not be drained")
            return [*failures, f"The spool could not be drained: {error!r}"]
    return failures


def _replay(segment: Path) -> list[str]:
    with segments.claim(segment) as file:
        if file is None:
            return []
        records = segments.records(file.read())
        try:
            segments.check_readable(str(segment), records)
        except NewerBatchError as error:
            # Nothing of it is counted: if the file stayed longer than an id in the ledger, that would count again.
            logger.error("%s", error)
            return [str(error)]
        damaged = _write_merged(records, segment) if segment.suffix == spool.PART else _write_each(records, segment)
        failures = []
        if damaged:
            aside = spool.set_aside(segment, damaged)
            failures.append(
                f"Damaged batches in the spool: {len(damaged)}. They were not counted, and were moved to {aside}."
            )
        segment.unlink()
    return failures


def _write_merged(records: list[bytes], part: Path) -> list[bytes]:
    """Count a part of the journal as the batch that its process would have written; return the damaged records."""
    damaged: dict[bytes, str] = {}
    summaries: dict[Key, Summary] = {}
    for _, each in segments.decoded(records, damaged):
        merge_each_into(summaries, each.summaries)
    for reason in damaged.values():
        logger.error("A batch in %s cannot be counted and is set aside: %s", part, reason)
    try:
        if summaries:
            _write_again(Batch(summaries, UUID(part.stem)))
    except BAD_DATA as error:
        logger.error("The batches in %s cannot be counted and are set aside: %s", part, error)
        return records
    return list(damaged)


def _write_again(batch: Batch) -> None:
    """Write a batch that its process may have written before it was killed."""
    with suppress(ImproperlyConfigured):  # the system check reports it
        if get_backend().replay(batch):
            return
    write_once(batch, durable=True)


def _write_each(records: list[bytes], segment: Path) -> list[bytes]:
    """Count the batches of a segment of the spool; return the records that cannot be counted."""
    turns = Turns(connections[settings.APP_METRICS_DATABASE])
    parts = (records[first : first + AT_ONCE] for first in range(0, len(records), AT_ONCE))
    return [record for part in parts for record in _write_all(part, segment, turns)]


def _write_all(records: list[bytes], segment: Path, turns: Turns) -> list[bytes]:
    """Count the batches of some records in one durable transaction; return the records that cannot be counted."""
    with between_others(durable=True):
        damaged = [record for record in records if not _write(record, segment)]
    turns.let_others_write()
    return damaged


def _write(record: bytes, segment: Path) -> bool:
    """Count the batch of a record, unless it was counted before; return False if it cannot be counted."""
    try:
        write_once(segments.decode(record))
    except BAD_DATA as error:
        logger.error("A batch in %s cannot be counted and is set aside: %s", segment, error)
        return False
    return True
