"""Unique counts in Redis: their totals are those of the db backend, byte for byte, and their memory is bounded."""

import os
import random

import pytest
from django.db import connections
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app_metrics.aggregation.run import aggregate
from app_metrics.backends.redis.uniques import packed, unpacked
from app_metrics.core.batch import Batch, Key
from app_metrics.core.labels import OVERFLOW_LABELS
from app_metrics.core.summary import UNIQUE
from app_metrics.core.uniques import EXACT, HIGHEST_RANK, RANK_BITS, REGISTERS, Uniques, merged
from app_metrics.models import QuarantinedItem, Total
from app_metrics.transport.loading import load_backend
from tests.support import redis_server
from tests.support.contract import DAY
from tests.support.forking import fork
from tests.support.scope import examples
from tests.support.summaries import seen

from .conftest import REDIS

USERS = Key("users", UNIQUE, "{}", DAY, 22)
FIELD = "users unique {}\nuniques"
PROCESSES = 4


def batch(*hashes, key=USERS):
    return Batch({key: seen(*hashes, at=1)})


def hashes_of(amount, seed=1):
    chance = random.Random(seed)
    return [chance.getrandbits(64) for _ in range(amount)]


def held(backend):
    return [summary.uniques for each in backend.pending() for summary in each.summaries.values()]


def bucket(in_redis):
    return f"{in_redis.prefix}:{{0}}:hour:{DAY}:22"


def totals(slug):
    stored = Total.objects.filter(metric__slug=slug).values_list("period", "count", "uniques")
    return {period: (count, Uniques.decode(data).encode()) for period, count, data in stored}


@pytest.mark.every_database
@pytest.mark.parametrize("amount", [1, 10, EXACT, EXACT + 1, 20_000])
def test_totals_have_the_bytes_that_they_have_with_the_db_backend(database, backend, in_redis, settings, amount):
    known, chance = hashes_of(amount), random.Random(amount)
    parts = [known[first : first + 700] for first in range(0, amount, 700)]
    parts += [chance.choices(known, k=30) for _ in range(20)]  # which come again
    for place, part in enumerate(parts):
        backend.write(batch(*part))
        load_backend("app_metrics.backends.db").write(batch(*part, key=USERS._replace(slug="in-db")))
        if place == 7:
            assert aggregate().failures == []
    assert aggregate().failures == []
    assert totals("users") == totals("in-db")
    assert totals("users")["year"] == (sum(map(len, parts)), Uniques(known).encode())
    assert list(in_redis.client.scan_iter(f"{in_redis.prefix}:*:hour:*")) == []


def any_hash():
    """Hashes of any rank in few registers, and of any."""
    crowded = st.builds(
        lambda index, rank, rest: index << RANK_BITS | (1 << rank | rest % (1 << rank) if rank >= 0 else 0),
        st.sampled_from([0, 1, REGISTERS // 2, REGISTERS - 1]),
        st.integers(-1, RANK_BITS - 1),
        st.integers(0, 2**52),
    )
    return st.one_of(crowded, st.integers(0, 2**64 - 1))


@st.composite
def sketches(draw):
    crowd = draw(st.sampled_from([0, 0, 3, EXACT - 2, EXACT + 1, 5000]))
    hashes = [*draw(st.sets(any_hash(), min_size=1, max_size=5)), *hashes_of(crowd, draw(st.integers(0, 2)))]
    return Uniques(hashes)


@hypothesis_settings(
    max_examples=examples(120), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(parts=st.lists(sketches(), min_size=1, max_size=5))
@example(parts=[Uniques([0]), Uniques([2**64 - 1])])
@example(parts=[Uniques([2**64 - 1]), Uniques([0, 2**64 - 1]), Uniques([2**63])])
@example(parts=[Uniques(range(EXACT + 1)), Uniques(range(2 * EXACT)), Uniques([0])])
def test_sketches_fold_in_redis_exactly_as_they_do_in_python(backend, in_redis, parts):
    for part in parts:
        backend.write(Batch({USERS: seen(*range(5000), at=1)._replace(uniques=part)}))
    [found] = held(backend)
    in_redis.client.delete(*in_redis.names())
    assert found.encode() == merged(parts).encode()


def test_batches_of_several_processes_give_one_sketch(transactional_database, backend):
    known = hashes_of(3000)
    connections.close_all()
    children = [fork() or _write_and_exit(backend, known, seed) for seed in range(PROCESSES)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * PROCESSES
    assert aggregate().failures == []
    assert set(totals("users").values()) == {(PROCESSES * 3000, Uniques(known).encode())}


def _write_and_exit(backend, known, seed):
    """Write all hashes, in an order of this process, a few with each batch."""
    try:
        random.Random(seed).shuffle(known)
        for first in range(0, len(known), 50):
            backend.write(batch(*known[first : first + 50]))
        os._exit(0)
    finally:
        os._exit(1)


def test_label_sets_beyond_the_cap_share_one_sketch(backend, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 1
    for number in (1, 2, 3):
        names = {name: USERS._replace(labels=f'{{"n":"{name}"}}') for name in (number, number + 10)}
        backend.write(Batch({key: seen(name, 7, at=1) for name, key in names.items()}))
    found = {key.labels: summary.uniques for each in backend.pending() for key, summary in each.summaries.items()}
    assert found == {'{"n":"1"}': Uniques([1, 7]), OVERFLOW_LABELS: Uniques([2, 3, 7, 11, 12, 13])}


def test_memory_grows_with_different_values_up_to_a_bound(backend, in_redis):
    sizes = []
    for amount in (1, EXACT, 20_000):
        known = hashes_of(amount)
        for first in range(0, amount, 500):
            backend.write(batch(*known[first : first + 500]))
        sizes.append(in_redis.client.memory_usage(bucket(in_redis), samples=0))
    assert sizes[0] < 500 < 8 * EXACT < sizes[1] < 8 * EXACT + 3000
    assert REGISTERS < sizes[2] < sizes[1]


def test_who_comes_again_is_not_written_again(settings):
    """Otherwise each visit would add a whole sketch to the file that Redis appends writes to."""
    with redis_server.configured("--appendonly", "yes") as server:
        settings.APP_METRICS_REDIS_URL = server.coordinates()["URL"]
        backend = load_backend(REDIS)
        known = hashes_of(EXACT)
        backend.write(batch(*known))
        size = appended(backend)
        for each in known[:20]:
            backend.write(batch(each))
        assert appended(backend) - size < 8 * EXACT


def appended(backend):
    return backend._client.info("persistence")["aof_current_size"]


DAMAGES = {
    "empty": b"",
    "a part of a hash": bytes(7),
    "no rank": bytes([HIGHEST_RANK + 1]) * REGISTERS + b"R",
    "too few registers": bytes(REGISTERS - 2) + b"R",
    "no mark": bytes(REGISTERS + 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_sketch_is_set_aside_and_the_rest_is_counted(database, backend, in_redis, damage):
    other = USERS._replace(slug="intact")
    backend.write(Batch({USERS: seen(1, 2, at=1), other: seen(3, at=1)}))
    in_redis.client.hset(bucket(in_redis), FIELD, damage)
    assert aggregate().failures == []
    assert list(totals("users")) == []
    assert totals("intact")["year"] == (1, Uniques([3]).encode())
    assert "damaged" in QuarantinedItem.objects.get().reason


def test_a_batch_for_a_damaged_sketch_is_refused_and_leaves_nothing_behind(backend, in_redis):
    backend.write(batch(1))
    in_redis.client.hset(bucket(in_redis), FIELD, "damaged")
    with pytest.raises(Exception, match="damaged"):
        backend.write(Batch({USERS: seen(1, at=1), USERS._replace(slug="a-first"): seen(1, at=1)}))
    assert in_redis.client.hlen(bucket(in_redis)) == 2


@pytest.mark.parametrize("amount", [1, EXACT, EXACT + 1])
def test_a_sketch_is_read_as_it_was_packed(amount):
    uniques = Uniques(hashes_of(amount))
    assert unpacked(packed(1, uniques)[8:]).encode() == uniques.encode()
