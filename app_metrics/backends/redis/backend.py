"""The backend: which shard a batch goes to, and how an aggregation moves claims from each shard to the item log."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.db import connections
from django.utils.functional import cached_property
from redis import exceptions

from ...conf import max_label_sets, settings
from ...core.batch import Batch
from ...core.plain_text import brief
from ...core.setting_rules import required
from ...storage.connections import is_lost
from ...storage.ledger import write_once
from ...transport import base
from .client import check, connect
from .codec import decode
from .shard import Shard

UNREACHABLE = (exceptions.ConnectionError, exceptions.TimeoutError)
# Seconds that reading the pending buckets may take within a request.
READING = 1.0


class MetricsBackend(base.MetricsBackend):
    """The memory of the buckets depends on the number of series and hours, not on the traffic. Nothing expires."""

    # Messages and pages name the path that the setting holds.
    __module__ = __package__

    feeds_totals = True
    deduplicates = False  # a bucket is stored under its own id, not under those of its batches

    def __init__(self) -> None:
        prefix = required("REDIS_PREFIX")
        self._shards = [Shard(prefix, number) for number in range(required("REDIS_SHARDS"))]
        check()

    def write(self, batch: Batch) -> None:
        """Fold a batch into the buckets of its hours, unless it was written before."""
        if batch.summaries:
            # A batch goes to the same shard when it is repeated. The last 16 bits of an id are zero.
            shard = self._shards[(batch.id.int >> 16) % len(self._shards)]
            shard.write(self._client, batch, max_label_sets())

    def drain(self) -> None:
        if failures := list(self._failures()):
            raise ExceptionGroup("Some pending batches in Redis could not be drained", failures)

    def pending(self) -> Sequence[Batch]:
        return list(self._read_pending(time.monotonic() + READING))

    def check_destination(self) -> Sequence[CheckMessage]:
        try:
            policies = sorted(set(_evicting(self._client.info("memory"))))
        except Exception as error:
            message = f"Redis does not answer: {brief(error)}"
            hint = (
                "Start Redis, or fix APP_METRICS_REDIS_URL or APP_METRICS_REDIS_CLIENT. "
                "Until then, each process keeps the batches that it recorded."
            )
            return [CheckWarning(message, hint=hint, id="app_metrics.W006")]
        hint = "Set maxmemory-policy to noeviction, or use a Redis that is not a cache."
        return [
            CheckWarning(f"Redis may evict recorded numbers: it runs with {policy}.", hint=hint, id="app_metrics.W005")
            for policy in policies
        ]

    # Created at first use, because a project's client may connect at once and fail. Django's `cached_property` has no
    # lock that other threads would wait for.

    @cached_property
    def _client(self) -> Any:
        return connect()

    @cached_property
    def _patient_client(self) -> Any:
        return connect(patiently=True)

    def _failures(self) -> Iterator[Exception]:
        """Move everything to the item log and yield the failures, which do not stop the rest.

        Raises what creating a client raises, because nothing can be moved without one.
        """
        client = self._patient_client
        for shard in self._shards:
            try:
                shard.claim(client)
                claims = shard.claims(client)
                shard.forget(client)
            except Exception as error:  # a cluster's client raises more than RedisError
                yield error
                if isinstance(error, UNREACHABLE) and settings.APP_METRICS_REDIS_CLIENT is None:
                    return  # a single server holds all shards
                continue
            for claim_id, name in claims.items():
                try:
                    self._store(shard, claim_id, name)
                except UNREACHABLE as error:
                    yield error
                    break  # each of the others would time out as well
                except Exception as error:
                    error.add_note(f"claim {claim_id} of {name}")
                    yield error
                    if is_lost(connections[settings.APP_METRICS_DATABASE], error):
                        return

    def _store(self, shard: Shard, claim_id: str, name: str) -> None:
        """Store a claim exactly once; if the process is killed first, the next run finds the claim again."""
        summaries, damaged = decode(name, shard.read_claim(self._patient_client, claim_id).items())
        write_once(Batch(summaries, _id_of(claim_id)), damaged, durable=True)
        shard.delete(self._patient_client, claim_id)

    def _read_pending(self, deadline: float) -> Iterator[Batch]:
        for shard in self._shards:
            for bucket_id, name, fields in shard.read_all(self._client, deadline):
                yield Batch(decode(name, fields.items())[0], _id_of(bucket_id))


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:  # damaged: any id will do that is the same the next time
        return uuid5(NAMESPACE_OID, text)


def _evicting(memory: Mapping[str, Any]) -> Iterator[str]:
    """Yield the eviction policies of all servers; a cluster's client answers for several."""
    if "maxmemory_policy" not in memory:
        for node in memory.values():
            yield from _evicting(node)
    elif memory.get("maxmemory") and memory["maxmemory_policy"] != "noeviction":
        yield f"maxmemory-policy {memory['maxmemory_policy']}"
