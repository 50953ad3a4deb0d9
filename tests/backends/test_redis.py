"""The backend that folds into Redis, on a real one: everything written comes out exactly once."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from itertools import chain
from struct import calcsize
from uuid import UUID

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import exceptions

from app_metrics import collect, metric, timing
from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.backends.redis import codec, scripts
from app_metrics.backends.redis.codec import VALUE, limbs
from app_metrics.backends.redis.scripts import WRITE
from app_metrics.checks import check_backend, check_database
from app_metrics.core.batch import Batch, Key, new_batch_id
from app_metrics.core.dropped import take_entries
from app_metrics.core.histogram import Histogram
from app_metrics.core.labels import OVERFLOW_LABELS
from app_metrics.core.numbers import EXACT
from app_metrics.core.summary import COUNT, LATEST, MAX, MIN, NUMBER, SUM, TIME, TIMER, Field, merge_into
from app_metrics.models import Item, LedgerRow, QuarantinedItem, Total, pending
from app_metrics.models.creation import create_metric
from app_metrics.transport.circuit_breaker import FAILURES
from app_metrics.transport.loading import get_backend, load_backend
from tests.support import redis_server
from tests.support.contract import DAY, VARIED, BackendContract, batch_of
from tests.support.forking import fork
from tests.support.scope import examples
from tests.support.summaries import measured, summary_of
from tests.support.threads import at_once
from tests.support.totals import stored_items
from tests.support.waiting import takes_less, wait_until

from .conftest import REDIS


class TestRedis(BackendContract):
    path = REDIS

    @pytest.fixture
    def database(self, in_redis):
        """No database: writing must not need one."""


def held(backend):
    return {key: summary for batch in backend.pending() for key, summary in batch.summaries.items()}


def labelled(*labels, slug="orders"):
    return Batch({Key(slug, "counter", each, DAY, 22): summary_of(1, at=1) for each in labels})


# Exact sums


def test_draining_returns_the_written_summaries(database, backend, in_redis):
    backend.write(Batch(VARIED))
    backend.drain()
    assert stored_items() == VARIED
    assert in_redis.names() == [f"{in_redis.prefix}:{{0}}:written"]


def test_gauges_timers_and_labels_reach_the_totals(database, in_redis):
    with collect():
        metric("orders", 4, labels={"plan": "pro"})
        metric("orders", Decimal("0.000000001"))
        with timing("export"):
            pass
    aggregate()
    assert create_metric("Orders", "orders").total("day") == Decimal("4.000000001")
    assert set(Total.objects.values_list("metric__slug", flat=True)) == {"orders", "export"}


def numbers():
    billionths = st.integers(-(10**27) + 1, 10**27 - 1)
    return st.one_of(st.integers(-(10**18) + 1, 10**18 - 1), billionths.map(lambda n: Decimal(n).scaleb(-9)))


@st.composite
def summaries(draw):
    minimum, maximum = sorted((draw(numbers()), draw(numbers())))
    total = draw(st.one_of(numbers(), st.integers(-(10**28), 10**28)))
    count, last_at = draw(st.integers(1, 10**6)), draw(st.one_of(st.integers(-1, 1), st.integers(-(10**16), 10**17)))
    amounts = {"total": total, "minimum": minimum, "maximum": maximum, "last": draw(numbers())}
    return summary_of(1, at=last_at)._replace(count=count, **amounts)


KEYS = [
    Key(slug, kind, labels, date(2026, 5, 31), hour)
    for slug, kind in (("orders", "counter"), ("export", "timer"))
    for labels in ("{}", '{"plan":"pro"}', '{"plan":"ünïcödé ✓ \\"quoted\\" %s"}')
    for hour in (0, 24)
]


@hypothesis_settings(
    max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    batches=st.lists(st.dictionaries(st.sampled_from(KEYS), summaries(), min_size=1), min_size=1, max_size=8),
    recorded=st.lists(numbers(), min_size=1, max_size=5),
)
def test_batches_fold_in_redis_exactly_as_they_do_in_python(backend, in_redis, batches, recorded):
    folded = {}
    for batch in batches:
        for key in [key for key in batch if key.kind == TIMER]:
            batch[key] = batch[key]._replace(histogram=Histogram(recorded))
        backend.write(Batch(batch))
        for key, summary in batch.items():
            merge_into(folded, key, summary)
    found = held(backend)
    in_redis.client.delete(*in_redis.names())
    assert found == folded


RULES = {SUM: lambda old, new: old + new, MIN: min, MAX: max, LATEST: lambda old, new: new}
VALUES = {
    COUNT: [(1, 2), (2, 1), (3, 3)],
    NUMBER: [(1, 2), (-2, 1), (10**17 + 1, 10**17), (10**17, 10**17 + 1)],
    TIME: [(1, 2), (2, 1), (10**14 + 5, 2 * 10**14), (10**14, 10**14 + 1)],
}


@pytest.mark.parametrize(
    "field",
    [Field("field", *pair) for pair in itertools.product(VALUES, RULES) if pair != (TIME, SUM)],
    ids=lambda field: f"{field.holds}-{field.rule}",
)
def test_the_script_merges_a_field_of_every_kind_as_its_rule_says(field, in_redis):
    for old, new in VALUES[field.holds]:
        parts = {"": codec._split(field, new), "old_": codec._split(field, old)}
        values = "\n".join(
            f"local {prefix}field_{place} = {part}" for prefix in parts for place, part in enumerate(parts[prefix])
        )
        times = "local last_at_0, last_at_1, old_last_at_0, old_last_at_1 = 0, 2, 0, 1"
        names = ", ".join(f"string.format('%.0f', field_{place})" for place in range(limbs(field)))
        text = f"local LIMB = 1e14\n{times}\n{values}\n{scripts._merge(field)}\nreturn {{{names}}}"
        merged = [int(part) for part in in_redis.client.eval(text, 0)]
        assert merged == list(codec._split(field, RULES[field.rule](old, new))), (old, new)


def test_a_sum_that_no_total_can_hold_is_refused_and_leaves_nothing_behind(backend, in_redis):
    large = {Key("large", "counter", "{}", DAY, 22): summary_of(1, at=1)._replace(total=10**27 * 9)}
    for _ in range(11):
        backend.write(Batch(large))
    with pytest.raises(Exception, match="does not fit"):
        backend.write(Batch({**batch_of("a-first").summaries, **large}))
    assert {key.slug: summary.count for key, summary in held(backend).items()} == {"large": 11}


def test_the_histograms_of_label_sets_beyond_the_cap_are_merged(backend, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 1
    for number in (1, 2, 3):
        keys = [Key("export", TIMER, f'{{"n":"{name}"}}', DAY, 22) for name in (number, number + 10)]
        backend.write(Batch(dict.fromkeys(keys, measured(number, number))))
    found = {key.labels: summary.histogram for key, summary in held(backend).items()}
    assert found == {'{"n":"1"}': Histogram([1, 1]), OVERFLOW_LABELS: Histogram([1, 1, *[2] * 4, *[3] * 4])}


def test_a_damaged_histogram_is_set_aside_and_the_rest_is_counted(database, backend, in_redis):
    keys = [Key(slug, TIMER, "{}", DAY, 22) for slug in ("damaged", "intact")]
    backend.write(Batch(dict.fromkeys(keys, measured(1, 2))))
    [bucket] = [name for name in in_redis.names() if ":hour:" in name]
    [field] = [name for name in in_redis.client.hkeys(bucket) if name.startswith("damaged timer {}\n957")]
    in_redis.client.hset(bucket, field, "many")
    backend.drain()
    assert stored_items() == {keys[1]: measured(1, 2)._replace(last_at=0)}
    assert QuarantinedItem.objects.count() == 1


def test_a_sum_stays_exact_when_its_parts_overflow(backend):
    number = (Decimal(10**28) - 1).scaleb(-9)
    for _ in range(300):
        backend.write(batch_of("orders", number=number))
    (summary,) = held(backend).values()
    assert summary.total == EXACT.multiply(number, Decimal(300))


def test_for_equal_times_the_number_written_last_is_the_last(backend):
    for number in (1, 3, 2):
        backend.write(batch_of("orders", number=number))
    assert [summary.last for summary in held(backend).values()] == [2]


def test_a_count_beyond_the_exact_range_of_lua_is_refused(backend):
    for count in (2**53 - 2, 1):
        backend.write(counting(count))
    with pytest.raises(Exception, match="does not fit"):
        backend.write(counting(1))
    assert [summary.count for summary in held(backend).values()] == [2**53 - 1]


def counting(count):
    return Batch({Key("orders", "counter", "{}", DAY, 22): summary_of(1, at=1)._replace(count=count)})


# One round trip


@pytest.fixture
def proxy(in_redis, settings, tmp_path):
    proxy = redis_server.Proxy(tmp_path, settings.APP_METRICS_REDIS_URL)
    settings.APP_METRICS_REDIS_URL = f"unix://{proxy.path}"
    yield proxy
    proxy.close()


def record_a_request():
    with collect():
        for number in range(25):
            metric(f"slug-{number % 10}", number, labels={"plan": "pro"} if number % 2 else None)


def test_25_calls_on_10_slugs_are_one_round_trip_also_over_a_new_connection(proxy, in_redis):
    record_a_request()  # afterwards the server has the script
    get_backend().backend._client.connection_pool.disconnect()
    for _ in range(2):
        before = proxy.asked
        record_a_request()
        assert proxy.asked - before == 1
        assert proxy.connections == 2
    assert sum(summary.count for summary in held(get_backend().backend).values()) == 75


def test_a_server_that_lost_the_script_is_sent_it_again(in_redis, settings):
    """On a server of its own, because other processes count the round trips to the shared one."""
    with redis_server.configured() as server:
        settings.APP_METRICS_REDIS_URL = server.coordinates()["URL"]
        backend = get_backend().backend
        backend.write(batch_of("orders"))
        backend._client.script_flush()
        backend.write(batch_of("orders"))
        assert [summary.count for summary in held(backend).values()] == [2]


# Exactly once


def write_what_is_kept():
    """Retry: on a busy machine an answer may be late, and the batch stays in the retry queue."""

    def is_written():
        get_backend().retry()
        return not get_backend().kept

    wait_until(is_written, 30)


def test_a_batch_that_is_sent_again_after_a_lost_answer_counts_once(proxy, in_redis):
    retrying = get_backend()
    metric("first")
    proxy.loses_answers = True
    metric("orders", 4)
    assert retrying.kept == 1
    proxy.loses_answers = False
    metric("last")
    write_what_is_kept()
    assert sorted((key.slug, summary.count) for key, summary in held(retrying.backend).items()) == [
        ("first", 1),
        ("last", 1),
        ("orders", 1),
    ]


def test_a_batch_whose_answer_was_lost_is_not_spooled(transactional_database, settings, tmp_path):
    settings.APP_METRICS_SPOOL_DIR = tmp_path
    with redis_server.configured() as server:
        settings.APP_METRICS_BACKEND, settings.APP_METRICS_REDIS_URL = REDIS, server.coordinates()["URL"]
        metric("first")
        server.process.send_signal(signal.SIGSTOP)
        metric("orders")
        server.process.send_signal(signal.SIGCONT)
        write_what_is_kept()
        aggregate()
        assert dict(Total.objects.filter(period="year").values_list("metric__slug", "count")) == {
            "first": 1,
            "orders": 1,
        }


def test_nothing_is_taken_from_redis_within_a_transaction_that_may_undo_it(
    transactional_database, backend, in_redis, settings
):
    metric("orders")
    with transaction.atomic(using=transactional_database):
        done = aggregate()
        transaction.set_rollback(True, using=transactional_database)
    assert "could not be drained" in done.failures[0]
    assert aggregate().failures == []
    assert Total.objects.get(period="year").count == 1


def test_the_record_of_written_batches_does_not_grow(backend, in_redis):
    for _ in range(200):
        backend.write(batch_of("orders"))
    assert in_redis.client.zcard(f"{in_redis.prefix}:{{0}}:written") == 1


def test_writers_that_were_killed_are_forgotten_after_a_day(database, backend, in_redis):
    backend.write(batch_of("orders"))
    written = f"{in_redis.prefix}:{{0}}:written"
    in_redis.client.zadd(written, {"old": in_redis.client.time()[0] - 86_500})
    backend.drain()
    assert in_redis.client.zcard(written) == 1


def test_a_batch_that_waited_for_days_is_recognised_when_it_comes_again_after_a_drain(database, backend):
    """An outage or a slow clock delays a batch for days, the reply to its write is lost, and it is written again."""
    days_ago = UUID(int=new_batch_id().int - (3 * 86_400_000 << 80))
    for _ in range(2):
        backend.write(Batch(batch_of("orders").summaries, days_ago))
        backend.drain()
    assert Item.objects.count() == 1


def test_a_late_attempt_of_a_batch_that_a_retry_wrote_is_not_counted(database, backend, monkeypatch):
    """A server or router that froze may later handle abandoned connections, in any order."""
    batch, late = batch_of("orders"), []

    def freeze(*arguments):
        late.append(arguments)
        raise exceptions.TimeoutError("Timeout reading from socket")

    with monkeypatch.context() as frozen:
        frozen.setattr(WRITE, "run", freeze)
        with pytest.raises(exceptions.TimeoutError):
            backend.write(batch)
    backend.write(batch)
    backend.write(batch_of("other"))
    WRITE.run(*late[0])
    assert [summary.count for key, summary in held(backend).items() if key.slug == "orders"] == [1]


def test_several_drains_at_once_bring_everything_once(transactional_database, backend):
    for number in range(20):
        backend.write(batch_of("orders", number=number))

    def drain():
        for _ in range(5):
            backend.drain()
            backend.write(batch_of("orders"))

    at_once(4, drain)
    backend.drain()
    assert sum(Item.objects.values_list("count", flat=True)) == 20 + 4 * 5


def test_each_hour_of_a_batch_gets_an_id_with_room_for_item_ids(backend):
    backend.write(Batch(VARIED))
    ids = {batch.id for batch in backend.pending()}
    assert len(ids) == len(VARIED)
    assert {(each.version, each.int & 0xFFFF) for each in ids} == {(7, 0)}


def test_a_late_drain_leaves_an_hour_that_was_written_again_meanwhile(database, backend):
    backend.write(batch_of("orders"))
    (shard,) = backend._shards
    ask = shard._texts

    def overtaken(client, key):
        answer = ask(client, key)
        shard._texts = ask
        backend.drain()
        backend.write(batch_of("orders"))
        return answer

    shard._texts = overtaken
    backend.drain()
    backend.drain()
    assert sum(Item.objects.values_list("count", flat=True)) == 2


def test_a_claim_that_the_ledger_knows_is_deleted_without_counting_it_again(database, backend, in_redis):
    backend.write(batch_of("orders"))
    (batch,) = backend.pending()
    LedgerRow.objects.create(id=batch.id, written_at="2026-05-31T00:00Z")
    backend.drain()
    assert not Item.objects.exists()
    assert backend.pending() == []


CRASHES = ["claim", "read_claim", "write_once", "insert_items", "delete"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", CRASHES)
def test_a_drain_that_is_killed_at_any_step_loses_nothing_and_doubles_nothing(
    transactional_database, backend, in_redis, step, when
):
    for hour in range(3):
        backend.write(Batch({Key("orders", "counter", "{}", DAY, hour): summary_of(4, at=1)}))
    connections.close_all()
    child = fork()
    if not child:
        drain_up_to(step, when)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    backend.write(batch_of("orders", number=100))
    aggregate()
    assert create_metric("Orders", "orders").total("day", DAY) == 112
    assert backend.pending() == []


def drain_up_to(step, when):
    """Drain until just before or after a step of the first claim, then exit as if killed."""
    import app_metrics.backends.redis.backend as module
    from app_metrics.backends.redis.shard import Shard
    from app_metrics.conf import settings
    from app_metrics.storage.dialects import dialect_for

    dialect = type(dialect_for(connections[settings.APP_METRICS_DATABASE]))
    owner = {"write_once": module, "insert_items": dialect}.get(step, Shard)
    original = getattr(owner, step)

    def killed(*arguments, **options):
        if when == "after":
            original(*arguments, **options)
        os._exit(9)

    setattr(owner, step, killed)
    try:
        aggregate()
    finally:
        os._exit(1)


# Bounds


def test_label_sets_beyond_the_cap_fold_into_one(backend, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 3
    backend.write(labelled(*(f'{{"n":"{number}"}}' for number in range(5)), "{}"))
    backend.write(labelled('{"n":"1"}', '{"n":"9"}', OVERFLOW_LABELS, "{}"))
    backend.write(labelled('{"n":"7"}', slug="other"))
    counts = {(key.slug, key.labels): summary.count for key, summary in held(backend).items()}
    assert sum(count for (slug, _), count in counts.items() if slug == "orders") == 10
    assert counts[("orders", OVERFLOW_LABELS)] == 4
    assert counts[("orders", "{}")] == 2
    assert len(counts) == 3 + 1 + 1 + 1


def test_memory_stays_flat_under_label_values_without_end(backend, in_redis, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 100
    sizes = []
    for thousand in range(50):
        backend.write(labelled(*(f'{{"n":"{thousand}-{number}"}}' for number in range(1000))))
        sizes.append(sum(in_redis.client.memory_usage(key, samples=0) for key in in_redis.names()))
    assert sum(summary.count for summary in held(backend).values()) == 50_000
    assert sizes[-1] < 1.1 * sizes[5] < 30_000


def test_nothing_that_is_not_drained_expires(backend, in_redis):
    backend.write(batch_of("orders"))
    assert [in_redis.client.ttl(key) for key in in_redis.names()] == [-1] * 3


@pytest.mark.every_database
def test_what_is_pending_is_read_and_counted_without_use_tz(database, backend, settings):
    settings.USE_TZ = False
    backend.write(batch_of("orders", number=3))
    orders = create_metric("Orders", "orders")
    assert (orders.total("day", DAY), backlog().items) == (3, 1)
    assert aggregate().failures == []
    assert (orders.total("day", DAY), Item.objects.count()) == (3, 0)


# Damaged data


def decoding_client():
    import redis

    return redis.Redis.from_url(redis_server.url(), decode_responses=True)


def test_a_damaged_summary_is_set_aside_and_the_rest_is_counted(database, backend, in_redis):
    backend.write(batch_of("orders"))
    bucket = f"{in_redis.prefix}:{{0}}:hour:2026-05-31:22"
    damages = {"signups counter {}": "nonsense", "no-kind tally {}": "1", "bad counter {": "1", "\0 counter {}": "1"}
    damages["empty counter {}"] = bytes(calcsize(VALUE))  # a summary of no events
    in_redis.client.hset(bucket, mapping=damages)
    backend.drain()
    assert list(Item.objects.values_list("slug", "count")) == [("orders", 1)]
    assert QuarantinedItem.objects.count() == len(damages)
    assert "2026-05-31:22 signups counter {} nonsense" in QuarantinedItem.objects.values_list("payload", flat=True)
    assert backend.pending() == []


def test_a_time_that_no_column_holds_is_set_aside_and_the_rest_is_counted(database, backend):
    backend.write(batch_of("orders"))
    backend.write(Batch({Key("late", "counter", "{}", DAY, 22): summary_of(1, at=2**63)}))
    backend.drain()
    assert list(Item.objects.values_list("slug", flat=True)) == ["orders"]
    assert QuarantinedItem.objects.get().reason == "9223372036854775808 is not a time in microseconds."


@pytest.mark.parametrize("client", [None, decoding_client])
@pytest.mark.parametrize(
    "place", ["live", "pending", "hour:2026-05-31:22", "claim:0190a0a0-0000-7000-8000-000000000000"]
)
def test_a_field_that_is_not_utf8_does_not_stop_readings_or_other_fields(
    database, backend, in_redis, settings, place, client
):
    settings.APP_METRICS_REDIS_CLIENT = client
    backend = load_backend(REDIS)
    backend.write(batch_of("orders"))
    if place.startswith("claim:"):
        in_redis.client.hset(f"{in_redis.prefix}:{{0}}:pending", place.removeprefix("claim:"), "2026-05-31:22")
    in_redis.client.hset(
        f"{in_redis.prefix}:{{0}}:{place}", mapping={b"\xff\xfe counter {}": b"\xff", b"\xff": b"\xff"}
    )
    assert [key.slug for each in backend.pending() for key in each.summaries] == ["orders"]
    for _ in range(2):
        backend.drain()
    assert list(Item.objects.values_list("slug", "count")) == [("orders", 1)]
    assert list(chain.from_iterable(batch.summaries for batch in backend.pending())) == []


def test_a_claim_that_cannot_be_read_stays_is_reported_and_does_not_bar_the_others(database, backend, in_redis):
    claims = f"{in_redis.prefix}:{{0}}:pending"
    in_redis.client.hset(claims, mapping={"00000000-0000-0000-0000-000000000000": "2026-05-31:22", "x": "nowhen"})
    in_redis.client.set(f"{in_redis.prefix}:{{0}}:claim:00000000-0000-0000-0000-000000000000", "no hash")
    backend.write(batch_of("orders"))
    done = aggregate()
    assert len(done.failures) == 1
    assert create_metric("Orders", "orders").total("day", DAY) == 1
    assert set(in_redis.client.hkeys(claims)) == {"00000000-0000-0000-0000-000000000000"}  # there was nothing in "x"


def test_a_drain_waits_only_once_for_a_lost_redis(database, backend, monkeypatch):
    from redis.exceptions import TimeoutError as Lost

    for hour in range(5):
        backend.write(Batch({Key("orders", "counter", "{}", DAY, hour): summary_of(4, at=1)}))
    asked = []

    def lost(self, client, claim_id):
        asked.append(claim_id)
        raise Lost

    (shard,) = backend._shards
    with monkeypatch.context() as patched:
        patched.setattr(type(shard), "read_claim", lost)
        with pytest.raises(ExceptionGroup):
            backend.drain()
    assert len(asked) == 1
    backend.drain()
    assert Item.objects.count() == 5


def test_a_drain_waits_only_once_for_a_lost_database(transactional_database, backend, settings, monkeypatch):
    settings.APP_METRICS_REDIS_SHARDS = 2
    backend = load_backend(REDIS)
    for hour in range(5):
        for shard in backend._shards:
            batch = Batch({Key("orders", "counter", "{}", DAY, hour): summary_of(4, at=1)})
            shard.write(backend._client, batch, 10)
    connection, tries = connections[transactional_database], []

    def refuse(parameters):
        tries.append(parameters)
        raise OperationalError("refused")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "connection", None)
        patched.setattr(connection, "get_new_connection", refuse)
        with pytest.raises(ExceptionGroup):
            backend.drain()
    assert len(tries) == 1
    backend.drain()
    assert Item.objects.count() == 10


# Reading pending totals


def test_readings_include_batches_in_redis_before_and_after_draining(database, backend, in_redis):
    orders = create_metric("Orders", "orders")
    backend.write(batch_of("orders", number=4))
    assert orders.total("day", DAY) == 4
    backend.drain()
    assert orders.total("day", DAY) == 4
    aggregate()
    assert orders.total("day", DAY) == 4


def test_a_bucket_that_is_claimed_while_it_is_read_is_read_whole(database, backend, in_redis, monkeypatch):
    backend.write(labelled(*(f'{{"n":"{number}"}}' for number in range(600)), "{}"))
    (shard,) = backend._shards
    read = type(shard)._read

    def claimed_first(self, client, key, deadline):
        if ":hour:" in key:
            self.claim(client)
            backend.write(batch_of("orders"))  # a new bucket with the same name
        return read(self, client, key, deadline)

    monkeypatch.setattr(type(shard), "_read", claimed_first)
    assert sum(summary.count for summary in held(backend).values()) == 601


# Former backends


def test_batches_left_in_redis_are_aggregated_with_from(database, backend, in_redis, settings, capsys):
    backend.write(batch_of("orders", number=4))
    settings.APP_METRICS_BACKEND = "app_metrics.backends.db"
    metric("orders", 1, at=datetime(2026, 5, 31, 12, tzinfo=UTC))
    aggregate()
    orders = create_metric("Orders", "orders")
    assert orders.total("day", DAY) == 1
    for _ in range(2):
        call_command("metrics_aggregate", "--from", REDIS)
        assert orders.total("day", DAY) == 5
    with pytest.raises(CommandError, match="nowhere"):
        call_command("metrics_aggregate", "--from", "nowhere")


def test_a_former_backend_that_does_not_answer_fails_the_command(database, settings, capsys):
    pytest.importorskip("redis")
    settings.APP_METRICS_REDIS_URL = f"redis://127.0.0.1:{redis_server.free_port()}"
    with pytest.raises(CommandError):
        call_command("metrics_aggregate", "--from", REDIS)
    assert "could not be drained" in capsys.readouterr().err


# Connections


def test_a_forked_child_writes_over_a_connection_of_its_own(backend, in_redis):
    backend.write(batch_of("orders"))
    child = fork()
    if not child:
        try:
            for _ in range(20):
                backend.write(batch_of("orders"))
            os._exit(0)
        finally:
            os._exit(1)
    for _ in range(20):
        backend.write(batch_of("orders"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [summary.count for summary in held(backend).values()] == [41]


def write_in_vain(backend):
    with pytest.raises(Exception, match=r"[Tt]imeout"):
        backend.write(batch_of("orders"))


@pytest.mark.parametrize("place", ["127.0.0.1:{}/0", "user:secret@127.0.0.1:{}/3"])
def test_a_server_that_never_answers_holds_a_write_no_longer_than_the_timeout(settings, place):
    pytest.importorskip("redis")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.APP_METRICS_REDIS_URL = f"redis://{place.format(silent.getsockname()[1])}"
        settings.APP_METRICS_TIMEOUT = 2
        backend = load_backend(REDIS)
        assert takes_less(2, partial(write_in_vain, backend))


def test_batches_are_spread_over_all_shards(database, in_redis, settings):
    settings.APP_METRICS_REDIS_SHARDS = 4
    backend = load_backend(REDIS)
    batches = [batch_of("orders") for _ in range(400)]
    for batch in batches:
        backend.write(batch)
    used = {key.partition("{")[2].partition("}")[0] for key in in_redis.names()}
    assert used == {"0", "1", "2", "3"}
    backend.drain()
    assert sum(Item.objects.values_list("count", flat=True)) == 400


def test_sites_with_different_prefixes_do_not_mix(database, backend, in_redis, settings):
    backend.write(batch_of("orders"))
    settings.APP_METRICS_REDIS_PREFIX = f"{in_redis.prefix}:other"
    load_backend(REDIS).drain()
    assert not Item.objects.exists()


@pytest.mark.parametrize("client", [decoding_client, f"{__name__}.decoding_client"])
def test_a_client_of_the_project_is_used_given_as_a_callable_or_its_path(database, in_redis, settings, client):
    settings.APP_METRICS_REDIS_URL = "redis://nowhere.invalid"
    settings.APP_METRICS_REDIS_CLIENT = client
    backend = load_backend(REDIS)
    backend.write(batch_of("orders"))
    backend.drain()
    assert Item.objects.count() == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("URL", "localhost:6379"),
        ("URL", None),
        ("CLIENT", "nowhere.client"),
        ("CLIENT", 1),
        ("SHARDS", 0),
        ("SHARDS", "1"),
        ("PREFIX", ""),
        ("PREFIX", "a{b"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(settings, setting, value):
    pytest.importorskip("redis")
    setattr(settings, f"APP_METRICS_REDIS_{setting}", value)
    with pytest.raises(ImproperlyConfigured, match=f"APP_METRICS_REDIS_{setting}"):
        load_backend(REDIS)


def test_messages_name_it_by_the_path_that_the_setting_holds(backend):
    assert type(backend).__module__ == REDIS


def test_without_redis_py_the_error_names_the_extra():
    script = """
import sys
sys.modules["redis"] = None
import django
django.setup()
from app_metrics.backends import load_backend
load_backend("app_metrics.backends.redis")
"""
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith('Run: pip install "django-app-metrics[redis]>=1"')
    assert "InvalidMetricsBackend" in done.stderr.splitlines()[-1]


# Other server setups


def test_it_works_on_a_cluster(database, settings):
    cluster = pytest.importorskip("redis.cluster")
    with redis_server.configured("--cluster-enabled", "yes", "--cluster-node-timeout", "500") as server:
        import redis

        node = redis.Redis(port=server.port)
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: node.cluster("INFO")["cluster_state"] == "ok")
        settings.APP_METRICS_REDIS_CLIENT = lambda: cluster.RedisCluster(host="127.0.0.1", port=server.port)
        settings.APP_METRICS_REDIS_SHARDS = 3
        backend = load_backend(REDIS)
        for _ in range(12):
            backend.write(Batch(VARIED))
        assert {key: summary.count for key, summary in held(backend).items()}.keys() == VARIED.keys()
        assert list(backend.check_destination()) == []
        backend.drain()
        assert sum(Item.objects.values_list("count", flat=True)) == 12 * sum(each.count for each in VARIED.values())
        assert backend.pending() == []


@pytest.fixture
def far_away(in_redis, settings):
    """A client that connects when it is created, as a cluster's client does, and fails while the event is set."""
    from redis.exceptions import RedisClusterException

    is_away = threading.Event()
    is_away.set()

    def client():
        if is_away.is_set():
            raise RedisClusterException("Redis Cluster cannot be connected")
        return decoding_client()

    settings.APP_METRICS_REDIS_CLIENT = client
    return is_away


def test_a_cluster_that_is_down_from_the_start_loses_nothing_and_is_warned_about(database, far_away):
    for _ in range(FAILURES + 2):
        metric("orders")
    assert (list(check_backend()), take_entries()) == ([], [])
    assert [message.id for message in get_backend().check_destination()] == ["app_metrics.W006"]
    assert len(aggregate().failures) == 1
    assert not pending.is_complete()
    far_away.clear()
    write_what_is_kept()
    aggregate()
    assert create_metric("Orders", "orders").total("day") == FAILURES + 2


def test_beside_a_cluster_that_is_away_from_the_start_other_destinations_count(database, far_away, settings):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.db", REDIS]
    metric("orders")
    assert Item.objects.count() == 1


def test_a_cluster_shard_that_is_down_does_not_stop_the_drain_of_other_shards(
    database, in_redis, settings, monkeypatch
):
    from redis.exceptions import SlotNotCoveredError

    settings.APP_METRICS_REDIS_SHARDS = 2
    backend = load_backend(REDIS)
    for shard in backend._shards:
        shard.write(backend._client, batch_of("orders"), 10)

    def uncovered(client):
        raise SlotNotCoveredError

    monkeypatch.setattr(backend._shards[0], "claim", uncovered)
    with pytest.raises(ExceptionGroup):
        backend.drain()
    assert Item.objects.count() == 1


def test_acknowledged_batches_survive_a_kill_of_a_server_with_appendonly(database, settings):
    pytest.importorskip("redis")
    with redis_server.configured("--appendonly", "yes", "--appendfsync", "always") as server:
        settings.APP_METRICS_BACKEND, settings.APP_METRICS_REDIS_URL = REDIS, server.coordinates()["URL"]
        settings.APP_METRICS_TIMEOUT = 60
        metric("before", 4)
        server.process.kill()
        server.process.wait()
        metric("meanwhile", 2)
        assert get_backend().kept == 1
        server.start_again()
        metric("after", 1)
        write_what_is_kept()
        aggregate()
    assert dict(Total.objects.filter(period="day").values_list("metric__slug", "total")) == {
        "before": 4,
        "meanwhile": 2,
        "after": 1,
    }


@pytest.mark.parametrize(("policy", "ids"), [("allkeys-lru", ["app_metrics.W005"]), ("noeviction", [])])
def test_a_server_that_evicts_keys_is_warned_about(settings, policy, ids):
    pytest.importorskip("redis")
    with redis_server.configured("--maxmemory", "100mb", "--maxmemory-policy", policy) as server:
        settings.APP_METRICS_REDIS_URL = server.coordinates()["URL"]
        messages = load_backend(REDIS).check_destination()
    assert [message.id for message in messages] == ids
    assert all(message.hint for message in messages)


def test_only_the_check_of_the_destination_contacts_the_server(settings):
    pytest.importorskip("redis")
    settings.APP_METRICS_REDIS_URL = f"redis://127.0.0.1:{redis_server.free_port()}"
    backend = load_backend(REDIS)
    assert [message.id for message in backend.check_destination()] == ["app_metrics.W006"]
    assert list(backend.check()) == []


@pytest.mark.django_db
def test_only_checks_of_databases_contact_redis(settings):
    pytest.importorskip("redis")
    settings.APP_METRICS_BACKEND = REDIS
    settings.APP_METRICS_REDIS_URL = f"redis://127.0.0.1:{redis_server.free_port()}"
    assert [message.id for message in check_database(databases=["default"])] == ["app_metrics.W006"]
    assert list(check_backend()) == []
