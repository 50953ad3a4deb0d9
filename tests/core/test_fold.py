"""A fold gives what merging the summaries of single events gives, however its entries were split."""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app_metrics.core import batch as batches
from app_metrics.core.batch import Batch, Entry, Fold
from app_metrics.core.histogram import Histogram
from app_metrics.core.labels import NO_LABELS, OVERFLOW_LABELS, cap_labels
from app_metrics.core.numbers import exact
from app_metrics.core.periods import bucket
from app_metrics.core.summary import KINDS, MEASURED, UNIQUE, Summary, merge, single, to_sketches, to_values
from app_metrics.core.uniques import Uniques
from tests.support.threads import in_thread

MOST_LABEL_SETS = 3
LABELS = [NO_LABELS, OVERFLOW_LABELS, *(f'{{"k":"{value}"}}' for value in "abcdef")]
# Moments around which the hours of a day are odd: clocks go forward, back, by half an hour, across midnight and over a
# whole day, and a year ends.
MOMENTS = {
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "America/St_Johns": (datetime(2006, 10, 29, 2, 31, tzinfo=UTC), datetime(2006, 4, 2, 3, 31, tzinfo=UTC)),
    "Pacific/Apia": (datetime(2011, 12, 30, 10, tzinfo=UTC),),
    "UTC": (datetime(2026, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, tzinfo=UTC)),
}

Plain = dict[tuple[Any, ...], Summary]


def number_of(kind: str, random: Random) -> Any:
    if kind == UNIQUE:
        return random.choice((0, 1, 2, 2**64 - 1, random.getrandbits(64)))
    return random.choice(
        (
            1,
            1,
            random.randint(-3, 3),
            random.randint(-(10**18), 10**18),
            Decimal(random.randint(-(10**12), 10**12)).scaleb(-9),
            Decimal("1.50"),
            *((random.lognormvariate(-2, 2), -random.random(), 0.0, -0.0, 1e17) if kind != "counter" else ()),
        )
    )


def entries_of(zone: str, random: Random, number: int) -> list[Entry]:
    """Return entries in an order that is mostly that of their times, as in a request."""
    at, entries = random.choice(MOMENTS[zone]).timestamp() - 5000, []
    steps = (0.0, 5e-7, 2e-6, -5e-7, -3e-6, 0.3, -0.7, 40.0, 1800.0, -3600.0, random.random())
    for _ in range(number):
        kind = random.choice(KINDS)
        at += random.choice(steps)
        entries.append((random.choice("ab"), kind, random.choice(LABELS), number_of(kind, random), at))
    return entries


def merged(entries: Sequence[Entry], zone: ZoneInfo) -> Plain:
    """Return the summaries of entries by merging those of single events."""
    summaries: Plain = {}
    known: dict[str, set[str]] = defaultdict(set)
    for slug, kind, labels, number, at in entries:
        added = exact(number)
        if labels != NO_LABELS:
            labels = cap_labels(labels, known[slug], MOST_LABEL_SETS)
        summary = Summary(*single(1 if kind == UNIQUE else added, at))
        if kind == UNIQUE:
            summary = summary._replace(uniques=Uniques([int(added)]))
        elif kind in MEASURED:
            summary = summary._replace(histogram=Histogram([added]))
        key = (slug, kind, labels, *bucket(int(at // 1), zone))
        summaries[key] = merge(summaries[key], summary) if key in summaries else summary
    return summaries


def stored(summaries: Any) -> dict[tuple[Any, ...], Any]:
    """Return what is stored of summaries, digit by digit and byte by byte."""
    return {tuple(key): (to_values(summary), to_sketches(summary)) for key, summary in summaries.items()}


def meanwhile(fold: Fold, random: Random) -> None:
    """Do what a scope does with a fold between two blocks of entries, if anything."""
    if random.random() < 0.3:
        fold.settle()
    if random.random() < 0.3:
        assert len(fold.summaries) == fold.size


@pytest.mark.parametrize("zone", MOMENTS)
def test_a_fold_equals_the_merged_summaries_of_single_events(zone: str) -> None:
    for seed in range(150):
        random = Random(f"{zone} {seed}")
        entries = entries_of(zone, random, random.choice((1, 5, 20, 300)))
        fold, rest = Fold(ZoneInfo(zone), MOST_LABEL_SETS), deque(entries)
        with localcontext(prec=2):  # a caller's precision makes no difference
            while rest:
                fold.drain(deque(rest.popleft() for _ in range(min(len(rest), random.choice((1, 3, 100))))))
                meanwhile(fold, random)
        assert stored(fold.summaries) == stored(merged(entries, ZoneInfo(zone))), seed


@pytest.mark.parametrize("zone", MOMENTS)
def test_folds_that_threads_filled_at_once_merge_into_one(zone: str) -> None:
    """The label sets that stay are those of the first fold; without too many, it does not matter who folded what."""
    for seed in range(50):
        random = Random(f"{zone} {seed}")
        entries = [entry for entry in entries_of(zone, random, 60) if entry[2] in LABELS[: 2 + MOST_LABEL_SETS]]
        first, second = (Fold(ZoneInfo(zone), MOST_LABEL_SETS) for _ in range(2))
        middle = random.randrange(60)
        first.drain(deque(entries[:middle]))
        second.drain(deque(entries[middle:]))
        assert first.merge(second.summaries, float("inf")) == {}
        assert stored(first.summaries) == stored(merged(entries, ZoneInfo(zone))), seed


def test_merged_and_folded_label_sets_share_the_room_of_a_metric() -> None:
    _, _, first, second, third, fourth, *_ = LABELS
    fold, other = Fold(ZoneInfo("UTC"), 2), Fold(ZoneInfo("UTC"), 2)
    other.add(("x", "counter", first, 1, 0.0))
    fold.merge(other.summaries, float("inf"))
    for labels in (second, third, first):
        fold.add(("x", "counter", labels, 1, 0.0))
    other.add(("x", "counter", fourth, 1, 0.0))
    fold.merge(other.summaries, float("inf"))
    counts = {key.labels: summary.count for key, summary in fold.summaries.items()}
    assert counts == {first: 3, second: 1, OVERFLOW_LABELS: 2}


def test_the_keys_of_a_fold_keep_their_order() -> None:
    fold = Fold(ZoneInfo("UTC"), 10)
    fold.drain(deque((slug, "counter", NO_LABELS, 1, 0.0) for slug in "cabac"))
    assert [key.slug for key in fold.summaries] == ["c", "a", "b"]


def test_a_batch_has_the_summaries_of_its_fold_under_their_names() -> None:
    fold, same = Fold(ZoneInfo("UTC"), 10), Fold(ZoneInfo("UTC"), 10)
    for each in (fold, same):
        each.drain(deque([("x", "gauge", NO_LABELS, 2, 0.5), ("x", "gauge", NO_LABELS, 1, 1.5)]))
    batch = fold.batch()
    ((key, summary),) = batch.summaries.items()
    assert (key.slug, key.hour, summary.count, summary.last, summary.last_at) == ("x", 0, 2, 1, 1_500_000)
    assert batch.summaries is batch.summaries
    assert batch == Batch(same.summaries, batch.id)


def test_summaries_merge_the_same_with_and_without_the_names_of_their_fields() -> None:
    entries = entries_of("UTC", Random(1), 100)
    named, unnamed = (Fold(ZoneInfo("UTC"), MOST_LABEL_SETS) for _ in range(2))
    for _ in range(2):  # new summaries, and known ones
        fold = Fold(ZoneInfo("UTC"), 2 * MOST_LABEL_SETS)
        fold.drain(deque(entries))
        batch = fold.batch()
        left = unnamed.merge(batch.rows, 10), named.merge(batch.summaries, 10)
        assert left[0]
        assert stored(left[0]) == stored(left[1])
    assert stored(unnamed.summaries) == stored(named.summaries)
    assert {type(summary) for summary in (*unnamed.summaries.values(), *left[0].values())} == {Summary}


def test_threads_that_ask_for_the_id_of_a_batch_at_once_get_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, draw = Batch({}), batches.new_batch_id

    def interrupted(made_at: int) -> UUID:
        monkeypatch.setattr(batches, "new_batch_id", draw)
        found.append(in_thread(lambda: batch.id))
        return draw(made_at)

    found: list[UUID] = []
    monkeypatch.setattr(batches, "new_batch_id", interrupted)
    found.append(batch.id)
    assert found == [batch.id, batch.id]


def test_a_merge_loses_nothing_while_another_thread_reads_the_summaries() -> None:
    fold, other = (Fold(ZoneInfo("UTC"), 10) for _ in range(2))
    other.add(("x", "counter", NO_LABELS, 1, 0.0))

    class Interrupting(dict[Any, Any]):
        def items(self) -> Any:
            assert in_thread(lambda: len(fold.summaries)) == 0
            return super().items()

    fold.merge(Interrupting(other.summaries), float("inf"))
    assert len(fold.summaries) == 1
