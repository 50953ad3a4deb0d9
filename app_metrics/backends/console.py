"""Print every batch, for development."""

import sys

from ..core.batch import Batch, Key
from ..core.numbers import plain
from ..core.summary import FIELDS, SHOWN, Summary
from ..transport import base


class MetricsBackend(base.MetricsBackend):
    def write(self, batch: Batch) -> None:
        lines = (_line(key, summary) for key, summary in batch.summaries.items())
        # A single call, so that the lines of two threads do not mix.
        sys.stdout.write("".join([f"metrics batch {batch.id}\n", *lines]))
        sys.stdout.flush()


def _line(key: Key, summary: Summary) -> str:
    values = zip(FIELDS, summary, strict=True)
    numbers = ", ".join(f"{field.name} {plain(value)}" for field, value in values if field in SHOWN)
    return f"  {key.kind} {key.slug} {key.labels} {key.day} {key.hour:02}h: {numbers}\n"
