"""One part of what Redis holds: the buckets that batches fold into, and the claims that aggregations made of some."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from redis.client import NEVER_DECODE

from ...core.batch import Batch
from .codec import as_text, as_texts, buckets
from .scripts import CLAIM, DELETE, FORGET, WRITE

# Fields that are read at once, and buckets that are claimed at once: others wait meanwhile.
FIELDS_AT_ONCE = 1000
CLAIMED_AT_ONCE = 500
# How long a batch is recognised that was written by a process that did not hear of it.
REMEMBERED_SECONDS = 86_400
# Batches that are remembered to have failed once. Beyond, the oldest are not; who keeps so many has dropped them.
MOST_DOUBTFUL = 10_000


class Shard:
    """Keys that share a hash tag, so that one script may touch them all.

    `live` maps the name of each bucket to an id, which a writer gave it and which its claim and the ledger know it by;
    `claims` maps ids of claimed buckets to their names. `written` holds the ids of batches whose writers have not said
    yet that they know them to be written: by these a batch is recognised that comes again, its answer having been lost.
    """

    def __init__(self, prefix: str, number: int) -> None:
        self._prefix = f"{prefix}:{{{number}}}"
        self._live = f"{self._prefix}:live"
        self._claims = f"{self._prefix}:pending"
        self._written = f"{self._prefix}:written"
        self._acknowledged: deque[str] = deque()
        # A try that seemed to fail may arrive after the one that succeeded: what is in doubt is never acknowledged.
        self._doubtful: OrderedDict[str, None] = OrderedDict()

    def write(self, client: Any, batch: Batch, max_label_sets: int) -> None:
        """Fold a batch into the buckets of its hours, unless it was before; one round trip. Raises RedisError."""
        batch_id, keys = batch.id.hex, [self._live, self._written]
        arguments: list[str | bytes | int] = [batch_id, max_label_sets]
        for name, fields, values in buckets(batch):
            keys.append(self._bucket(name))
            arguments += fields, values
        known = list(self._taken())
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
        """Take all buckets there are away from the writers, who begin new ones."""
        live = list(as_texts(client.hgetall(self._live)).items())
        for first in range(0, len(live), CLAIMED_AT_ONCE):
            keys, arguments = [self._live, self._claims], []
            for name, claim_id in live[first : first + CLAIMED_AT_ONCE]:
                keys += [self._bucket(name), self._claim(claim_id)]
                arguments += [name, claim_id]
            CLAIM.run(client, keys, arguments)

    def claims(self, client: Any) -> dict[str, str]:
        """Return the names of claimed buckets by id, those that a killed aggregation left included; oldest first."""
        return dict(sorted(as_texts(client.hgetall(self._claims)).items()))

    def read_claim(self, client: Any, claim_id: str, deadline: float = math.inf) -> dict[str, bytes]:
        """Return the fields of a claim, which nobody changes any more."""
        return self._read(client, self._claim(claim_id), deadline)

    def delete(self, client: Any, claim_id: str) -> None:
        DELETE.run(client, [self._claims, self._claim(claim_id)], [claim_id])

    def forget(self, client: Any) -> None:
        """Forget the batches that were written a day ago by writers that were killed then."""
        FORGET.run(client, [self._written], [REMEMBERED_SECONDS])

    def read_all(self, client: Any, deadline: float) -> Iterator[tuple[str, str, Mapping[str, bytes]]]:
        """Yield id, name and fields of every bucket, claimed or not.

        What is claimed and deleted while this reads may be there in part: the ledger knows its id then. Raises
        TimeoutError at the deadline, a time of `time.monotonic`.
        """
        # In this order: what is claimed in between is seen twice rather than never.
        live = as_texts(client.hgetall(self._live))
        claims = self.claims(client)
        for name, bucket_id in live.items():
            fields = self._read(client, self._bucket(name), deadline)
            current = client.hget(self._live, name)
            if current is None or as_text(current) != bucket_id:
                fields = self.read_claim(client, bucket_id, deadline)
            yield bucket_id, name, fields
        for claim_id in claims.keys() - live.values():
            yield claim_id, claims[claim_id], self.read_claim(client, claim_id, deadline)

    def _read(self, client: Any, key: str, deadline: float) -> dict[str, bytes]:
        fields: dict[str, bytes] = {}  # a scan may say the same field twice
        cursor = None
        while cursor != 0:
            if time.monotonic() > deadline:
                raise TimeoutError("Redis holds more than can be read in time")
            # Values are no texts, also for a client that makes texts of all it is answered.
            options = {NEVER_DECODE: True}
            cursor, page = client.execute_command("HSCAN", key, cursor or 0, "COUNT", FIELDS_AT_ONCE, **options)
            fields.update({as_text(field): value for field, value in page.items()})
        return fields

    def _bucket(self, name: str) -> str:
        return f"{self._prefix}:hour:{name}"

    def _claim(self, claim_id: str) -> str:
        return f"{self._prefix}:claim:{claim_id}"

    def _taken(self) -> Iterator[str]:
        """Yield what was acknowledged since the last write; other threads may take some of it at the same time."""
        while self._acknowledged:
            try:
                yield self._acknowledged.popleft()
            except IndexError:
                return
