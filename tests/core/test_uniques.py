"""Unique counts are exact up to a limit and near the truth above it, and merging gives the same bytes in any order."""

import json
import random
from base64 import b64decode
from bisect import bisect_left
from contextlib import contextmanager
from decimal import Decimal
from functools import reduce
from hashlib import sha256
from itertools import permutations
from math import exp, sqrt
from operator import add
from pathlib import Path
from statistics import fmean
from struct import pack, unpack
from unittest.mock import patch
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app_metrics.core import uniques
from app_metrics.core.summary import UNIQUE, distinct, headline, merge
from app_metrics.core.uniques import EXACT, MAX_SIZE, STANDARD_ERROR, Uniques, merged
from tests.support.summaries import seen

GOLDEN = Path(__file__).with_name("uniques_v1.json")
LIMIT = 2**64

anything = st.integers(0, LIMIT - 1)
# Of few registers, so that several hashes share one, and with all ranks; the highest one has no 1 after the index.
close = st.builds(lambda index, power: index << 52 | 1 << power >> 1, st.integers(0, 2), st.integers(0, 52))
hash_lists = st.lists(anything | close, max_size=30)


@contextmanager
def exact_up_to(limit):
    """Make the limit so low that few hashes exceed it."""
    with patch.object(uniques, "EXACT", limit):
        yield


def hashes_of(count, seed=0):
    return list(unpack(f">{count}Q", random.Random(seed).randbytes(8 * count)))


def with_checksum(body):
    return body + pack(">I", crc32(body))


def documented_bytes(hashes, limit=EXACT):
    """Return the bytes of a set of hashes, made from the documentation of the format alone, one bit at a time."""
    hashes = sorted(set(hashes))
    if len(hashes) <= limit:
        return with_checksum(b"\x01" + len(hashes).to_bytes(2) + b"".join(each.to_bytes(8) for each in hashes))
    registers = [0] * 4096
    for bits in (f"{each:064b}" for each in hashes):
        index, rest = int(bits[:12], 2), f"{bits[12:]}1"
        registers[index] = max(registers[index], rest.index("1") + 1)
    upper = [f"{rank:06b}"[place : place + 2] for place in (0, 2, 4) for rank in registers[3072:]]
    packed = bytes(int(f"{two}{rank:06b}", 2) for two, rank in zip(upper, registers[:3072], strict=True))
    return with_checksum(b"\x01\x00\x00" + packed)


# Exact


@given(st.lists(anything | st.integers(0, 9)))
def test_few_are_counted_exactly_however_often_each_is_added(hashes):
    sketch = Uniques(hashes)
    assert (sketch.count, sketch.error) == (len(set(hashes)), 0)


def test_the_limit_is_counted_exactly_and_one_more_is_estimated():
    hashes = hashes_of(EXACT + 1)
    assert (Uniques(hashes[:-1]).count, Uniques(hashes[:-1]).error) == (EXACT, 0)
    assert Uniques(hashes).count > EXACT
    assert Uniques(hashes).error == STANDARD_ERROR


def test_hashes_that_are_in_several_parts_do_not_exceed_the_limit():
    hashes = hashes_of(EXACT)
    both = Uniques(hashes[:900]) + Uniques(hashes[100:])
    assert (both.count, both.error) == (EXACT, 0)


# Merging


@pytest.mark.parametrize("size", [1, 60, EXACT - 1, EXACT, EXACT + 1, 1500, 2000, 4000])
def test_any_tree_of_merging_gives_the_same_bytes(size):
    hashes, chance = hashes_of(size), random.Random(size)
    expected = documented_bytes(hashes)
    assert Uniques(hashes).encode() == expected
    for _ in range(125):
        assert merged_somehow(hashes, chance).encode() == expected


def merged_somehow(hashes, chance):
    """Split hashes into parts, some of which overlap, and merge these in any order, now and then by way of bytes."""
    shuffled = chance.sample(hashes, len(hashes))
    cuts = sorted(chance.choices(range(len(hashes) + 1), k=chance.randrange(1, 9)))
    pieces = [shuffled[first:last] for first, last in zip([0, *cuts], [*cuts, None], strict=True)]
    pieces += [chance.sample(hashes, chance.randrange(len(hashes) + 1)) for _ in range(chance.randrange(3))]
    trees = [Uniques(piece) for piece in chance.sample(pieces, len(pieces)) if piece]
    while len(trees) > 1:
        parts = [trees.pop(chance.randrange(len(trees))) for _ in range(min(len(trees), chance.choice([2, 2, 3])))]
        trees.append(chance.choice(WAYS)(parts))
    return trees[0]


def by_bytes(parts):
    return Uniques.decode(b"".join(part.encode() for part in parts))


def by_appending(parts):
    first, *others = parts
    copy = Uniques.decode(first.encode())
    for other in others:
        if isinstance(other.kept, bytes):
            copy += other
        else:
            copy.fresh.update(other.kept)
            copy.settle()
    return copy


WAYS = (merged, lambda parts: reduce(add, parts), by_bytes, by_appending)


@given(hash_lists, hash_lists, st.integers(1, 8))
def test_merging_what_is_kept_of_two_sets_gives_what_is_kept_of_their_union(ours, theirs, limit):
    with exact_up_to(limit):
        both = Uniques(kept=Uniques(ours).kept) + Uniques(kept=Uniques(theirs).kept)
        assert both == Uniques([*ours, *theirs])


@given(st.lists(hash_lists.filter(bool), min_size=1, max_size=6), st.integers(1, 8), st.randoms())
def test_appended_bytes_are_those_of_the_union_in_any_order(parts, limit, chance):
    everything = [each for part in parts for each in part]
    with exact_up_to(limit):
        encoded = [Uniques(part).encode() for part in parts]
        chance.shuffle(encoded)
        assert Uniques.decode(b"".join(encoded)).encode() == documented_bytes(everything, limit)


@given(hash_lists.filter(bool), st.integers(1, 8), st.data())
def test_adding_again_what_is_there_changes_nothing(hashes, limit, data):
    again = data.draw(st.lists(st.sampled_from(hashes)))
    with exact_up_to(limit):
        sketch = Uniques(hashes)
        expected = sketch.encode()
        assert (sketch + sketch).encode() == expected
        assert (sketch + Uniques(again)).encode() == expected
        assert Uniques.decode(expected + expected).encode() == expected


@given(hash_lists, hash_lists, st.integers(1, 8))
def test_a_count_never_falls_when_more_is_added(hashes, more, limit):
    with exact_up_to(limit):
        assert (Uniques(hashes) + Uniques(more)).count >= Uniques(hashes).count


def test_a_count_never_falls_on_the_way_to_many():
    hashes, counts = hashes_of(6000, seed="on the way"), []
    sketch = Uniques()
    for first in range(0, len(hashes), 25):
        sketch += Uniques(hashes[first : first + 25])
        counts.append(sketch.count)
    assert counts == sorted(counts)


@pytest.mark.parametrize("sizes", [(3, 4), (900, 900), (3, 2000), (2000, 2000)])
def test_merging_changes_neither_part(sizes):
    parts = [Uniques(hashes_of(size, seed=size + place)) for place, size in enumerate(sizes)]
    before = [part.encode() for part in parts]
    merged(parts)
    parts[0] + parts[1]
    assert [part.encode() for part in parts] == before


@pytest.mark.parametrize("hashes", [hashes_of(EXACT // 2), hashes_of(5 * EXACT)], ids=["few", "many"])
def test_a_fold_keeps_few_hashes_in_memory(hashes):
    sketch = Uniques()
    for each in [*hashes, *hashes]:
        sketch.fresh.add(each)
        sketch.settle()
        assert len(sketch.fresh) <= EXACT
    assert sketch.encode() == documented_bytes(hashes)


# Estimates


def relative_errors(count, sketches):
    seeds = (f"{count} {number}" for number in range(sketches))
    return [Uniques(hashes_of(count, seed)).count / count - 1 for seed in seeds]


def check_errors(errors):
    """Compare the spread and the mean of errors with those that hold for 99 % of all samples of this size."""
    spread, samples, error = sqrt(fmean(each**2 for each in errors)), len(errors), float(STANDARD_ERROR)
    assert spread <= error * (1 + 2.6 / sqrt(2 * samples))
    assert abs(fmean(errors)) <= 2.6 * error / sqrt(samples)


@pytest.mark.parametrize(("count", "sketches"), [(1500, 80), (4000, 80), (10_000, 60), (30_000, 40)])
def test_estimates_have_the_standard_error_and_no_bias(count, sketches):
    check_errors(relative_errors(count, sketches))


@pytest.mark.parametrize("count", [10**6, 10**9, 10**14, 10**19])
def test_estimates_of_huge_sets_have_the_standard_error_and_no_bias(count):
    chance = random.Random(count)
    # The distribution of the largest rank of a register, so that no hashes need to be made.
    shares = [exp(-count / 4096 / 2**rank) for rank in range(53)]
    drawn = [bytes(bisect_left(shares, chance.random()) for _ in range(4096)) for _ in range(40)]
    check_errors([Uniques(kept=registers).count / count - 1 for registers in drawn])


def test_the_standard_error_is_that_of_the_paper():
    assert round(Decimal(sqrt((3 * 0.6931471805599453 - 1) / 4096)), 4) == STANDARD_ERROR


def test_an_estimate_never_exceeds_the_number_of_hashes_that_there_are():
    full = Uniques(kept=bytes([53]) * 4096)
    nearly = Uniques(kept=bytes([53]) * 4095 + bytes([52]))
    assert full.count == nearly.count == LIMIT
    assert Uniques(kept=bytes([30]) * 4096).count < LIMIT


# Lost sketches


@pytest.mark.parametrize("others", [0, 1, 5, EXACT + 1])
def test_a_union_with_a_lost_sketch_is_lost(others):
    lost, sketch = Uniques(kept=None), Uniques(range(others))
    parts = [lost.encode(), *([sketch.encode()] if others else [])]
    unions = [lost + sketch, sketch + lost, Uniques([5], kept=None), *map(decoded, permutations(parts))]
    assert [(each.count, each.kept, each.error) for each in unions] == [(None, None, 0)] * len(unions)


def decoded(parts):
    return Uniques.decode(b"".join(parts))


def test_nobody_knows_the_count_of_a_summary_whose_sketch_is_lost():
    summary = seen(1, 2, 3)._replace(uniques=Uniques(kept=None))
    assert (distinct(summary), headline(UNIQUE, summary), distinct(merge(summary, seen(4)))) == (None, None, None)


@given(st.lists(st.integers(0, 50)), st.integers(0, 50), st.integers(1, 8))
def test_adding_a_single_hash_gives_the_bytes_of_all_together(hashes, one, limit):
    with exact_up_to(limit):
        assert Uniques(hashes) + Uniques([one]) == Uniques([one]) + Uniques(hashes) == Uniques([*hashes, one])


# The format


@given(hash_lists.filter(bool), st.integers(1, 8))
@example([0, 1 << 52, 4095 << 52], 2)  # the highest rank
def test_a_sketch_survives_as_bytes(hashes, limit):
    with exact_up_to(limit):
        assert Uniques.decode(Uniques(hashes).encode()) == Uniques(hashes)


def test_the_bytes_of_version_1_are_read_and_written_as_ever():
    for golden in json.loads(GOLDEN.read_text()):
        texts = (f"{golden['prefix']}{number}" for number in range(golden["hashes"]))
        sketch = Uniques(int.from_bytes(sha256(text.encode()).digest()[:8]) for text in texts)
        data = b64decode(golden["bytes"])
        assert Uniques.decode(data).count == golden["count"]
        assert Uniques.decode(data) == sketch
        assert sketch.encode() == data


@pytest.mark.parametrize(
    ("count", "size"), [(1, 15), (100, 807), (EXACT, MAX_SIZE), (EXACT + 1, 3079), (20 * EXACT, 3079)]
)
def test_a_sketch_is_small(count, size):
    assert len(Uniques(hashes_of(count)).encode()) == size <= 8007


def test_an_empty_sketch_has_no_bytes():
    with pytest.raises(ValueError, match="An empty sketch has no bytes"):
        Uniques().encode()


def refused(data):
    with pytest.raises(ValueError, match="not a sketch of unique counts of version 1, or they are damaged") as caught:
        Uniques.decode(data)
    return str(caught.value)


@pytest.mark.parametrize("count", [1, 3, 2000])
def test_every_changed_missing_or_additional_byte_is_refused(count):
    data = Uniques(hashes_of(count)).encode()
    places = range(0, len(data), 1 if count < 10 else 7)
    for place in places:
        refused(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        refused(data[:place])
        refused(data[:place] + data[place + 1 :])
        refused(data[: place + 1] + b"\0" + data[place + 1 :])
        refused(data + data[: place + 1][:-1] + b"\x01")


@pytest.mark.parametrize(
    "body",
    [
        b"\x02\x00\x01" + bytes(8),  # a later version
        b"\x01\x00\x02" + b"\x07" * 8 + b"\x06" * 8,  # not in order
        b"\x01\x00\x02" + b"\x07" * 16,  # the same hash twice
        b"\x01" + pack(">H", EXACT + 1) + pack(f">{EXACT + 1}Q", *range(EXACT + 1)),  # too many
        b"\x01\x00\x00" + b"\x36" + bytes(3071),  # a rank of 54
        b"\x01\x00\x00" + b"\xc0" + bytes(1023) + b"\x40" + bytes(1023) + b"\x80" + bytes(1023),  # in the last quarter
    ],
)
def test_impossible_contents_are_refused_even_if_the_checksum_is_right(body):
    refused(with_checksum(body))


def test_neither_an_error_nor_a_log_shows_hashes():
    hashes = hashes_of(3)
    shown = refused(Uniques(hashes).encode()[:-1]) + repr(Uniques(hashes))
    data = Uniques(hashes).encode()
    assert not any(str(each) in shown or f"{each:x}" in shown for each in hashes)
    assert str(data[3:7])[2:-1] not in shown
    assert repr(Uniques(hashes)) == "<Uniques: 3>"
