"""Print every batch, for development."""

import sys

from ..core.batch import Batch, Key
from ..core.numbers import plain
from ..core.summary import SHOWN, UNIQUE, Summary, distinct
from ..transport import base


class MetricsBackend(base.MetricsBackend):
    def write(self, batch: Batch) -> None:
        lines = (_line(key, summary) for key, summary in batch.summaries.items())
        # A single call, so that the lines of two threads do not mix.
        sys.stdout.write("".join([f"metrics batch {batch.id}\n", *lines]))
        sys.stdout.flush()


def _line(key: Key, summary: Summary) -> str:
    numbers = ", ".join(f"{field.name} {plain(getattr(summary, field.name))}" for field in SHOWN)
    different = f", different {distinct(summary)}" if key.kind == UNIQUE else ""
    return f"  {key.kind} {key.slug} {key.labels} {key.day} {key.hour:02}h: {numbers}{different}\n"
