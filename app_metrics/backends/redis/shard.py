"""One shard of the data in Redis: buckets, into which batches are folded, and claims, which aggregations store."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from redis.client import NEVER_DECODE

from ...core.batch import Batch
from .codec import as_text, as_texts, buckets
from .scripts import CLAIM, DELETE, FORGET, WRITE

# Values are binary, and damaged fields may be, even for a client with `decode_responses`.
RAW = {NEVER_DECODE: True}
# Fields that are read, and buckets that are claimed, in one command: other clients wait meanwhile.
FIELDS_AT_ONCE = 1000
CLAIMED_AT_ONCE = 500
# Seconds for which a repeated batch is recognised if its writer did not learn that the first write succeeded.
REMEMBERED_SECONDS = 86_400
# The maximum number of failed batches that are remembered: more than a process keeps for a retry.
MOST_DOUBTFUL = 10_000


class Shard:
    """Keys that share a hash tag, so that one script may use them all.

    `live` maps the name of each bucket to the id under which it will be claimed and stored; `claims` maps the ids of
    claimed buckets to their names. `written` holds the ids of written batches that their writers have not acknowledged
    yet; they identify a batch that is repeated because the answer to its first write was lost.
    """

    def __init__(self, prefix: str, number: int) -> None:
        self._prefix = f"{prefix}:{{{number}}}"
        self._live = f"{self._prefix}:live"
        self._claims = f"{self._prefix}:pending"
        self._written = f"{self._prefix}:written"
        self._acknowledged: deque[str] = deque()
        # A write that seemed to fail may still arrive after a retry that succeeded, so these are never acknowledged.
        self._doubtful: OrderedDict[str, None] = OrderedDict()

    def write(self, client: Any, batch: Batch, max_label_sets: int) -> None:
        """Fold a batch into the buckets of its hours, once, with one round trip. Raises RedisError."""
        batch_id, keys = batch.id.hex, [self._live, self._written]
        arguments: list[str | bytes | int] = [batch_id, max_label_sets]
        for name, fields, values, counts, sketches in buckets(batch):
            keys.append(self._bucket(name))
            arguments += fields, values, counts, sketches
        known = list(self._take_acknowledged())
        try:
            WRITE.run(client, keys, [*arguments, *known])
        except BaseException:
            self._acknowledged.extend(known)
            self._doubt(batch_id)
            raise
        if batch_id not in self._doubtful:
            self._acknowledged.append(batch_id)

    def _doubt(self, batch_id: str) -> None:
        self._doubtful[batch_id] = None
        if len(self._doubtful) > MOST_DOUBTFUL:
            self._doubtful.popitem(last=False)

    def claim(self, client: Any) -> None:
        """Claim all live buckets; writers then begin new ones."""
        live = list(self._texts(client, self._live).items())
        for first in range(0, len(live), CLAIMED_AT_ONCE):
            keys, arguments = [self._live, self._claims], []
            for name, claim_id in live[first : first + CLAIMED_AT_ONCE]:
                keys += [self._bucket(name), self._claim(claim_id)]
                arguments += [name, claim_id]
            CLAIM.run(client, keys, arguments)

    def claims(self, client: Any) -> dict[str, str]:
        """Return the names of claimed buckets by id, oldest first, including those that a killed aggregation left."""
        return dict(sorted(self._texts(client, self._claims).items()))

    def read_claim(self, client: Any, claim_id: str, deadline: float = math.inf) -> dict[str, bytes]:
        """Return the fields of a claim, which no longer change."""
        return self._read(client, self._claim(claim_id), deadline)

    def delete(self, client: Any, claim_id: str) -> None:
        DELETE.run(client, [self._claims, self._claim(claim_id)], [claim_id])

    def forget(self, client: Any) -> None:
        """Forget the ids of batches that were written more than a day ago and never acknowledged."""
        FORGET.run(client, [self._written], [REMEMBERED_SECONDS])

    def read_all(self, client: Any, deadline: float) -> Iterator[tuple[str, str, Mapping[str, bytes]]]:
        """Yield id, name and fields of every bucket, claimed or not.

        A bucket that is claimed and deleted meanwhile may lack some fields; its id is then in the ledger. Raises
        TimeoutError at the deadline, which is a value of `time.monotonic()`.
        """
        # In this order, a bucket that is claimed in between is found twice; in the other order, it would be missed.
        live = self._texts(client, self._live)
        claims = self.claims(client)
        for name, bucket_id in live.items():
            fields = self._read(client, self._bucket(name), deadline)
            current = client.execute_command("HGET", self._live, name, **RAW)
            if current is None or as_text(current) != bucket_id:
                fields = self.read_claim(client, bucket_id, deadline)
            yield bucket_id, name, fields
        for claim_id in claims.keys() - live.values():
            yield claim_id, claims[claim_id], self.read_claim(client, claim_id, deadline)

    def _texts(self, client: Any, key: str) -> dict[str, str]:
        return as_texts(client.execute_command("HGETALL", key, **RAW))

    def _read(self, client: Any, key: str, deadline: float) -> dict[str, bytes]:
        fields: dict[str, bytes] = {}  # a scan may return a field twice
        cursor = None
        while cursor != 0:
            if time.monotonic() > deadline:
                raise TimeoutError("Redis holds more pending batches than could be read in time")
            cursor, page = client.execute_command("HSCAN", key, cursor or 0, "COUNT", FIELDS_AT_ONCE, **RAW)
            fields.update({as_text(field): value for field, value in page.items()})
        return fields

    def _bucket(self, name: str) -> str:
        return f"{self._prefix}:hour:{name}"

    def _claim(self, claim_id: str) -> str:
        return f"{self._prefix}:claim:{claim_id}"

    def _take_acknowledged(self) -> Iterator[str]:
        """Take out the ids to acknowledge; other threads may take some of them at the same time."""
        while self._acknowledged:
            try:
                yield self._acknowledged.popleft()
            except IndexError:
                return
