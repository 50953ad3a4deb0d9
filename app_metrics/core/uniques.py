"""Unique counts: how many different things, such as users, were counted, of which only keyed hashes are kept.

Up to EXACT different hashes are kept as they are and counted exactly. Of more, there are only the registers of a
HyperLogLog, from which their number is estimated. The first 12 bits of a hash are the number of its register. The
register holds the largest rank of its hashes: the place of the first 1 in the other 52 bits, or 53 if there is none.

The result of merging does not depend on the order, byte for byte. What is kept of a set S of hashes is f(S): S itself
if it has at most EXACT elements, otherwise R(S), the largest rank for each register. Nothing that R needs is lost, and
how much is kept depends on the number of elements alone. So f(f(A) ∪ f(B)) = f(A ∪ B):

- If f(A) and f(B) are both sets, they are A and B.
- If one of them, such as f(A), is registers, then A has more than EXACT elements, and so has A ∪ B. Therefore f(A ∪ B)
  is R(A ∪ B), the larger of R(A) and R(B) for each register. R(B) is f(B), or is made of the hashes in it.

Therefore nothing else may replace hashes with registers, such as their size in memory or the number of additions: what
is kept of a small union would then depend on how it was made.

A sketch may also be lost: its bytes were damaged, so nobody knows what was counted. Any union with it is lost, too,
because its number would otherwise be too low without a sign of that.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import reduce
from itertools import chain
from math import sqrt
from operator import lt
from struct import Struct, pack, unpack_from
from zlib import crc32

# The most hashes that are kept and counted exactly. It is a part of the format: to change it needs a new version.
EXACT = 1000
HASH_BITS, INDEX_BITS = 64, 12
RANK_BITS = HASH_BITS - INDEX_BITS
REGISTERS = 1 << INDEX_BITS
HIGHEST_RANK = RANK_BITS + 1
# The relative standard error of an estimate, sqrt((3 ln 2 - 1) / REGISTERS): two in three estimates are this near to
# the truth, and 19 in 20 are at most twice as far from it.
STANDARD_ERROR = Decimal("0.0162")

VERSION = 1
# The version, and the number of hashes; 0 if registers follow, and NO_HASHES if nothing does.
_HEAD = Struct(">BH")
_CHECKSUM = Struct(">I")
_HASH_SIZE = 8
# In place of the number of hashes, because the sketch was lost.
NO_HASHES = 0xFFFF
# Registers take six bits each.
_PACKED = REGISTERS * 6 // 8
MAX_SIZE = _HEAD.size + _HASH_SIZE * EXACT + _CHECKSUM.size

# What is kept: up to EXACT hashes in ascending order, or the ranks of all registers; None if it was lost.
Kept = tuple[int, ...] | bytes | None

_RANK_MASK = (1 << RANK_BITS) - 1
_EMPTY = bytes(REGISTERS)
_TOP_BITS = int.from_bytes(b"\x80" * REGISTERS)
_PART = REGISTERS // 4
_TWO_BITS = int.from_bytes(b"\x03" * _PART)
_LOWER_BITS, _UPPER_BITS = bytes(byte & 63 for byte in range(256)), bytes(byte >> 6 for byte in range(256))
_RANKS = bytes(range(HIGHEST_RANK + 1))
# 1 / (2 ln 2), the limit of the constant of HyperLogLog for many registers.
_ALPHA = 0.7213475204444817


class Uniques:
    """The different hashes that were added, or the registers of more than EXACT.

    It never changes, except that the `Fold` that has created it adds further hashes.
    """

    __slots__ = ("_kept", "fresh")

    def __init__(self, hashes: Iterable[int] = (), kept: Kept = ()) -> None:
        self._kept = kept
        # Hashes that are not in order yet, because a single event never needs that. A set, because adding to it is
        # faster than a call of ours, and an event of somebody who is in it takes no memory.
        self.fresh: set[int] = set(hashes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Uniques) and self.kept == other.kept

    __hash__ = None  # type: ignore[assignment]  # it may change

    def __repr__(self) -> str:
        # Without the hashes: they are personal data, which a log should not have.
        return f"<Uniques: {self.count}>"

    def __add__(self, other: "Uniques") -> "Uniques":
        kept, others = self.kept, other.kept
        if isinstance(kept, tuple) and isinstance(others, tuple) and len(others) == 1 and len(kept) < EXACT:
            return Uniques(kept=_inserted(kept, others[0]))  # a buffer merges single events one by one
        return Uniques(kept=_union([kept, others]))

    @property
    def kept(self) -> Kept:
        """The hashes in ascending order, or the registers; None if the sketch was lost."""
        # Not stored, because threads share the sketches of pending batches.
        return _union([self._kept], self.fresh) if self.fresh else self._kept

    @property
    def count(self) -> int | None:
        """How many different hashes were added, which is an estimate if there is an `error`; None if they were lost.

        It never falls if more are added.
        """
        kept = self.kept
        if kept is None:
            return None
        return max(EXACT + 1, _estimated(kept)) if isinstance(kept, bytes) else len(kept)

    @property
    def error(self) -> Decimal:
        """The relative standard error of the count: 0 if it is exact."""
        return STANDARD_ERROR if isinstance(self.kept, bytes) else Decimal(0)

    def settle(self) -> None:
        """Replace added hashes with registers if there are many, so that memory does not grow with them."""
        if len(self.fresh) > EXACT:
            self._kept, self.fresh = self.kept, set()

    def encode(self) -> bytes:
        """Return the sketch as bytes, which are equal for equal sketches, MAX_SIZE at most. Raises ValueError if empty.

        All integers are big-endian: the version, one byte; the number of hashes, two bytes, or 0 for registers; the
        hashes in ascending order, eight bytes each, or the registers; the CRC-32 of all that, four bytes. A sketch that
        was lost has 65,535 as the number of hashes, and no hashes.

        Registers take 3,072 bytes: each of the first 3,072 registers has the lower six bits of a byte. The registers
        from 3,072 on are split into three times two bits, which the upper two bits of the bytes hold: register
        3,072 + i has its highest bits in byte i, the middle ones in byte 1,024 + i, and the lowest in byte 2,048 + i.
        """
        kept = self.kept
        if kept is None:
            body = _HEAD.pack(VERSION, NO_HASHES)
        elif not kept:
            raise ValueError("An empty sketch has no bytes.")
        elif isinstance(kept, bytes):
            body = _HEAD.pack(VERSION, 0) + _packed(kept)
        else:
            body = _HEAD.pack(VERSION, len(kept)) + pack(f">{len(kept)}Q", *kept)
        return body + _CHECKSUM.pack(crc32(body))

    @classmethod
    def decode(cls, data: bytes) -> "Uniques":
        """Return the sketch of the bytes of one or more sketches. Raises ValueError for other bytes.

        So sketches can be merged by appending the bytes of one to those of another.
        """
        parts = [*_parts(data)]
        if not parts:
            raise _damaged()
        return cls(kept=parts[0] if len(parts) == 1 else _union(parts))


def merged(sketches: Sequence[Uniques]) -> Uniques:
    """Return the sketch of all hashes in one or more sketches."""
    if len(sketches) == 1:
        return sketches[0]
    return Uniques(kept=_union([each.kept for each in sketches]))


def _inserted(hashes: tuple[int, ...], new: int) -> tuple[int, ...]:
    place = bisect_left(hashes, new)
    return hashes if hashes[place : place + 1] == (new,) else (*hashes[:place], new, *hashes[place:])


def _union(parts: Sequence[Kept], hashes: Iterable[int] = ()) -> Kept:
    """Return what is kept of the union of some parts and hashes; the module's docstring explains the rule."""
    if None in parts:
        return None
    registers = [part for part in parts if isinstance(part, bytes)]
    everything = [*hashes, *chain.from_iterable(part for part in parts if isinstance(part, tuple))]
    if not registers:
        # Parts are in order, so sorting merely merges them; a set would have to be sorted from scratch.
        distinct = tuple(dict.fromkeys(sorted(everything)))
        if len(distinct) <= EXACT:
            return distinct
    return _raised(reduce(_highest, registers or [_EMPTY]), everything)


def _raised(registers: bytes, hashes: Iterable[int]) -> bytes:
    """Return registers with further hashes in them."""
    ranks = bytearray(registers)
    for each in hashes:
        index, rank = each >> RANK_BITS, HIGHEST_RANK - (each & _RANK_MASK).bit_length()
        if rank > ranks[index]:
            ranks[index] = rank
    return bytes(ranks)


def _highest(left: bytes, right: bytes) -> bytes:
    """Return the higher rank of each register, calculated for all at once in integers of 4,096 bytes."""
    ours, theirs = int.from_bytes(left), int.from_bytes(right)
    # With the top bit set no byte borrows from the next one, and only a byte that is at least as high keeps that bit.
    at_least = ((ours | _TOP_BITS) - theirs) & _TOP_BITS
    mask = at_least - (at_least >> 7)  # 0x7f where ours is at least as high
    return (theirs ^ ((ours ^ theirs) & mask)).to_bytes(REGISTERS)


def _estimated(registers: bytes) -> int:
    """Estimate the number of different hashes in registers.

    This is the improved raw estimator of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches",
    2017, https://arxiv.org/abs/1702.01284, algorithm 6. It has no bias, so it needs no tables of corrections. It needs
    only basic arithmetic and square roots, which are the same on all platforms.
    """
    counts = {rank: registers.count(rank) for rank in set(registers)}
    z = _tau(1 - counts.get(HIGHEST_RANK, 0) / REGISTERS) * REGISTERS  # as in the paper
    for rank in range(RANK_BITS, 0, -1):
        z = (z + counts.get(rank, 0)) / 2
    z += _sigma(counts.get(0, 0) / REGISTERS) * REGISTERS
    most = 1 << HASH_BITS
    return min(most, round(_ALPHA * REGISTERS**2 / z)) if z else most


def _sigma(x: float) -> float:
    """Return x + the sum over k ≥ 1 of x^(2^k) 2^(k-1), for the share of empty registers."""
    total, weight, before = x, 1.0, -1.0
    while total != before:
        x *= x
        before = total
        total += x * weight
        weight *= 2
    return total


def _tau(x: float) -> float:
    """Return a third of 1 - x - the sum over k ≥ 1 of (1 - x^(2^-k))^2 2^-k, for the share of full registers."""
    total, weight, before = 1 - x, 1.0, -1.0
    while total != before and x:
        x = sqrt(x)
        before = total
        weight /= 2
        total -= (1 - x) ** 2 * weight
    return total / 3 if x else 0.0


def _packed(registers: bytes) -> bytes:
    """Return registers in six bits each, in the order that `encode` documents."""
    first, last = int.from_bytes(registers[:_PACKED]), int.from_bytes(registers[_PACKED:])
    pairs = b"".join((last >> shift & _TWO_BITS).to_bytes(_PART) for shift in (4, 2, 0))
    return (first | int.from_bytes(pairs) << 6).to_bytes(_PACKED)


def _unpacked(data: bytes) -> bytes:
    """Return the registers that `_packed` has put into some bytes."""
    starts = range(0, _PACKED, _PART)
    high, middle, low = (int.from_bytes(data[start : start + _PART].translate(_UPPER_BITS)) for start in starts)
    return data.translate(_LOWER_BITS) + (high << 4 | middle << 2 | low).to_bytes(_PART)


def _parts(data: bytes) -> Iterator[Kept]:
    """Yield what is kept by each sketch of some bytes."""
    place = 0
    while place < len(data):
        start = place + _HEAD.size
        version, count = _HEAD.unpack(data[place:start].ljust(_HEAD.size, b"\0"))
        end = start if count == NO_HASHES else start + (_HASH_SIZE * count or _PACKED)
        checksum = data[end : end + _CHECKSUM.size]
        if version != VERSION or checksum != _CHECKSUM.pack(crc32(data[place:end])):
            raise _damaged()
        place = end + _CHECKSUM.size
        if end == start:
            yield None
        else:
            yield _hashes_in(data, start, count) if count else check_registers(_unpacked(data[start:end]))


def _hashes_in(data: bytes, start: int, count: int) -> tuple[int, ...]:
    hashes = unpack_from(f">{count}Q", data, start)
    if count > EXACT or not all(map(lt, hashes, hashes[1:])):
        raise _damaged()
    return hashes


def check_registers(registers: bytes) -> bytes:
    """Return registers. Raises ValueError if they hold something else than ranks."""
    if registers.translate(None, _RANKS):  # what is left are no ranks
        raise _damaged()
    return registers


def _damaged() -> ValueError:
    # Without the bytes: they hold hashes, which are personal data.
    return ValueError(
        f"These bytes are not a sketch of unique counts of version {VERSION}, or they are damaged. If a newer version "
        "of app_metrics wrote them, upgrade this one."
    )
