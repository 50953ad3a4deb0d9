"""The journal of the buffered mode: a kill at any moment loses nothing and counts nothing twice."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connections

from app_metrics import collect, flush, metric
from app_metrics.aggregation.intake import replay
from app_metrics.aggregation.run import aggregate
from app_metrics.backends import locmem
from app_metrics.core.batch import Batch, Key, new_batch_id
from app_metrics.dashboard.health import examine
from app_metrics.models import Item, LedgerRow
from app_metrics.storage.ledger import write_once
from app_metrics.transport import buffer as buffering
from app_metrics.transport import journal as journaling
from app_metrics.transport import segments, spool
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.buffer import Buffer
from app_metrics.transport.loading import get_backend
from app_metrics.transport.spool import DAMAGED, PART
from tests.support.contract import DAY, VARIED, batch_of
from tests.support.forking import fork, record_and_die
from tests.support.newer import make_newer, upgrade
from tests.support.summaries import summary_of
from tests.support.waiting import wait_until
from tests.transport.test_spool import counted, files, no_room

HERE = "tests.transport.test_journal."


class Ledger(MetricsBackend):
    """A backend that writes as `db` does on a server, also to SQLite."""

    feeds_totals = True

    def write(self, batch):
        raise AssertionError("a batch was not journalled")

    def write_once(self, batch):
        write_once(batch)


class Lenient(Ledger):
    """The same for batches that are in memory only."""

    def write(self, batch):
        write_once(batch)


class Down(Ledger):
    def write_once(self, batch):
        raise DatabaseError("down")


class Undecided(Ledger):
    """A backend whose answers are lost."""

    def write_once(self, batch):
        super().write_once(batch)
        raise DatabaseError("the answer is lost")


class Remembering(MetricsBackend):
    """A backend that recognises ids itself, as Redis does."""

    feeds_totals = True
    deduplicates = False
    seen = {}

    def write(self, batch):
        self.seen.setdefault(batch.id, batch)


class Elsewhere(MetricsBackend):
    """A backend that does not feed the totals."""

    def write(self, batch):
        pass


@pytest.fixture(autouse=True)
def directory(monkeypatch, settings, tmp_path):
    """A directory for the journal, and a buffer for this test only, whose interval never ends by itself."""
    settings.APP_METRICS_FLUSH_INTERVAL, settings.APP_METRICS_SPOOL_DIR = 600, tmp_path
    settings.APP_METRICS_BACKEND = HERE + "Ledger"
    buffer = Buffer()
    monkeypatch.setattr(buffering, "_buffer", buffer)
    monkeypatch.setattr(buffering, "add", buffer.add)
    yield tmp_path
    die()


def die():
    """Lose what this process holds, and its locks, as a kill does."""
    buffering._buffer.journal._start_afresh()


def test_a_batch_is_in_the_file_of_its_process_before_it_is_written(database, directory):
    with collect():
        metric("orders", 3)
    (part,) = files(directory)
    assert part.suffix == PART
    ((_, batch),) = segments.decoded(segments.records(part.read_bytes()), {})
    assert {key.slug: summary.total for key, summary in batch.summaries.items()} == {"orders": 3}
    assert Item.objects.count() == 0


@pytest.mark.every_database
def test_an_interval_is_written_as_one_batch_and_its_file_is_deleted(transactional_database, directory, settings):
    if transactional_database != "default":
        settings.APP_METRICS_BACKEND = "app_metrics.backends.db"
    for _ in range(100):
        with collect():
            metric("orders")
            metric("visits", labels={"plan": "pro"})
    flush()
    assert (Item.objects.count(), LedgerRow.objects.count(), files(directory)) == (2, 1, [])
    aggregate()
    assert counted() == {"orders": 100, "visits": 100}


def test_what_a_killed_process_recorded_counts_in_the_next_aggregation(database, directory):
    for _ in range(100):
        metric("orders")
    die()
    assert aggregate().failures == []
    assert (counted(), files(directory)) == ({"orders": 100}, [])


@pytest.mark.every_database
def test_a_kill_between_the_commit_and_the_deletion_counts_nothing_twice(
    transactional_database, directory, settings, monkeypatch
):
    if transactional_database != "default":
        settings.APP_METRICS_BACKEND = "app_metrics.backends.db"
    metric("orders", 3)
    monkeypatch.setattr(buffering._buffer.journal, "end", lambda part, is_written: None)
    flush()
    aggregate()  # so that no pending item has the id
    assert len(files(directory)) == 1
    die()
    assert aggregate().failures == []
    assert (counted(), files(directory)) == ({"orders": 3}, [])


def test_a_write_whose_answer_is_lost_counts_once(transactional_database, directory, settings):
    settings.APP_METRICS_BACKEND = HERE + "Undecided"
    metric("orders", 3)
    flush()
    assert [path.suffix for path in files(directory)] == [segments.SEGMENT]
    for _ in range(2):
        aggregate()
    assert (counted(), files(directory)) == ({"orders": 3}, [])


def test_the_journal_of_a_process_that_lives_is_left_alone(database, directory):
    metric("orders")
    assert (spool.pending(), replay()) == ((0, 0, 0), [])
    assert (Item.objects.count(), len(files(directory))) == (0, 1)


def test_the_health_page_counts_the_journal_of_a_process_that_is_gone(database, directory):
    metric("orders")
    assert examine().has_written_all
    die()
    (part,) = files(directory)
    assert examine().spool == (1, part.stat().st_size, 0)


def test_every_kind_of_summary_comes_back_as_it_was(database, directory):
    buffering.add(Batch(VARIED))
    die()
    assert replay() == []
    assert Item.objects.count() == len(VARIED)


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_half_a_record_at_the_end_costs_nothing_but_itself(database, directory, lost):
    for slug in ("first", "second"):
        metric(slug)
    die()
    (part,) = files(directory)
    os.truncate(part, part.stat().st_size - lost)
    done = aggregate()
    assert counted().keys() - {"second"} == {"first"}
    assert (done.failures, files(directory)) == ([], [])


def test_a_part_that_lost_everything_costs_nothing(database, directory):
    metric("orders")
    die()
    (part,) = files(directory)
    os.truncate(part, 10)
    assert aggregate().failures == []
    assert (counted(), files(directory)) == ({}, [])


def test_a_damaged_record_is_set_aside_and_reported(database, directory, caplog):
    for slug in ("first", "second", "third"):
        metric(slug)
    die()
    (part,) = files(directory)
    part.write_bytes(part.read_bytes().replace(b"second", b"sXcond"))
    (failure,) = aggregate().failures
    assert counted() == {"first": 1, "third": 1}
    (aside,) = files(directory)
    assert aside.suffix == DAMAGED
    assert b"sXcond" in aside.read_bytes()
    assert str(aside) in failure
    assert "checksum" in caplog.text


def test_a_part_is_written_whole_however_many_keys_it_has(directory):
    part = journaling.Part(directory / f"{new_batch_id().hex}{PART}", durable=False)
    for first in (0, 40_000):
        numbers = range(first, first + 40_000)
        summaries = {Key(f"metric-{number}", "counter", "{}", DAY, 12): summary_of(1) for number in numbers}
        part.append(b"not read here", Batch(summaries))
    assert len(part.take().summaries) == 80_000
    part.close()


def test_a_part_of_a_newer_version_stays_until_an_upgrade(database, directory):
    for slug in ("older", "newer"):
        metric(slug)
    die()
    (part,) = files(directory)
    make_newer(part, "newer")
    for _ in range(2):
        (failure,) = aggregate().failures
        assert "upgrade app_metrics here" in failure
        assert (counted(), files(directory)) == ({}, [part])
    upgrade(directory)
    assert aggregate().failures == []
    assert (counted(), files(directory)) == ({"older": 1, "newer": 1}, [])


def test_a_part_that_no_database_accepts_does_not_block_others(database, directory, monkeypatch):
    def write(batch, **options):
        if any(key.slug == "first" for key in batch.summaries):
            raise ValueError("too large")
        return write_once(batch)

    for slug in ("first", "second"):
        metric(slug)
        die()
    monkeypatch.setattr("app_metrics.aggregation.intake.write_once", write)
    assert len(aggregate().failures) == 1
    assert counted() == {"second": 1}
    assert [path.suffix for path in files(directory)] == [DAMAGED]


def test_a_part_that_cannot_be_written_is_spooled_under_its_id(directory, settings):
    settings.APP_METRICS_BACKEND = HERE + "Down"
    for _ in range(3):
        metric("orders")
    (part,) = files(directory)
    flush()
    (segment,) = files(directory)
    ((_, batch),) = segments.decoded(segments.records(segment.read_bytes()), {})
    assert batch.id.hex == part.stem
    assert [summary.count for summary in batch.summaries.values()] == [3]
    assert get_backend().kept == 0


def test_a_part_that_can_neither_be_written_nor_spooled_is_left_to_the_next_aggregation(
    transactional_database, directory, settings, monkeypatch
):
    settings.APP_METRICS_BACKEND = HERE + "Down"
    monkeypatch.setattr(spool, "append", lambda batch: False)
    metric("orders")
    flush()
    assert (get_backend().kept, spool.pending().segments) == (0, 1)
    aggregate()
    assert (counted(), files(directory)) == ({"orders": 1}, [])


def test_a_part_that_was_offered_to_a_backend_with_ids_of_its_own_is_offered_to_it_again(directory, settings):
    settings.APP_METRICS_BACKEND = HERE + "Remembering"
    Remembering.seen.clear()
    metric("orders")
    (part,) = files(directory)
    die()
    assert replay() == []
    ((key, batch),) = Remembering.seen.items()
    assert key.hex == part.stem
    assert [each.slug for each in batch.summaries] == ["orders"]
    assert files(directory) == []


def test_every_destination_of_a_composite_gets_a_part_and_only_the_totals_a_replay(
    transactional_database, directory, settings
):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = [HERE + "Ledger", "app_metrics.backends.locmem"]
    locmem.outbox.clear()
    metric("orders")
    (part,) = files(directory)
    flush()
    (batch,) = locmem.outbox
    assert (batch.id.hex, files(directory), LedgerRow.objects.count()) == (part.stem, [], 1)
    metric("orders")
    die()
    aggregate()
    assert (counted(), len(locmem.outbox), files(directory)) == ({"orders": 2}, 1, [])


def test_a_destination_with_ids_of_its_own_gets_the_replay_of_a_composite(directory, settings):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.locmem", HERE + "Remembering"]
    locmem.outbox.clear()
    Remembering.seen.clear()
    metric("orders")
    die()
    assert replay() == []
    assert (len(Remembering.seen), len(locmem.outbox), files(directory)) == (1, 0, [])


def test_what_only_goes_elsewhere_is_not_journalled(directory, settings):
    settings.APP_METRICS_BACKEND = HERE + "Elsewhere"
    metric("orders")
    assert files(directory) == []
    flush()


def test_sqlite_keeps_its_own_journal_only(transactional_db, directory, settings):
    settings.APP_METRICS_BACKEND = "app_metrics.backends.db"
    metric("orders")
    assert files(directory) == []
    buffering._buffer.merging.here().take()


def test_a_full_disk_leaves_batches_in_memory_and_says_so_once(transactional_database, directory, settings, caplog):
    settings.APP_METRICS_BACKEND = HERE + "Lenient"
    with no_room():
        for number in range(20):
            metric(f"slug-{number}")
    assert caplog.text.count("only in memory") == 1
    assert 0 < examine().unjournalled < 20
    (part,) = files(directory)
    assert 0 < part.stat().st_size < 1000
    metric("slug-0")
    assert examine().unjournalled == 0
    flush()
    assert aggregate().failures == []
    assert counted() == {"slug-0": 2, **{f"slug-{number}": 1 for number in range(1, 20)}}


def test_a_part_without_a_batch_takes_the_next_one_once_the_disk_has_room(
    transactional_database, directory, settings, monkeypatch
):
    settings.APP_METRICS_BACKEND = HERE + "Lenient"
    buffer = buffering._buffer
    with monkeypatch.context() as patch:
        patch.setattr(segments.os, "write", lambda descriptor, data: 0)
        assert not buffer.gather(batch_of("orders"))
    flush()
    assert not buffer.gather(batch_of("orders"))  # otherwise it would be written at once, and so would all others
    (part,) = files(directory)
    assert part.stat().st_size > 0
    flush()
    aggregate()
    assert (counted(), files(directory)) == ({"orders": 2}, [])


@pytest.mark.parametrize("name", ["missing", "a\0b"])
def test_a_directory_that_is_not_there_leaves_batches_in_memory(transactional_database, settings, tmp_path, name):
    settings.APP_METRICS_BACKEND, settings.APP_METRICS_SPOOL_DIR = HERE + "Lenient", f"{tmp_path}/{name}"
    metric("orders")
    flush()
    aggregate()
    assert counted() == {"orders": 1}


def test_the_journal_is_bounded(transactional_database, directory, settings, monkeypatch):
    settings.APP_METRICS_BACKEND = HERE + "Lenient"
    monkeypatch.setattr(journaling, "MAX_PART", 1000)
    monkeypatch.setattr(journaling, "MAX_JOURNAL", 5000)
    monkeypatch.setattr(Buffer, "_start_if_needed", lambda self: None)
    for _ in range(100):
        metric("orders")
    assert 5000 <= sum(path.stat().st_size for path in files(directory)) <= 6000
    assert all(path.stat().st_size <= 1000 for path in files(directory))
    flush()
    aggregate()
    assert (counted(), files(directory)) == ({"orders": 100}, [])


def test_memory_is_bounded_while_nothing_can_be_written(transactional_database, settings, monkeypatch):
    settings.APP_METRICS_BACKEND = HERE + "Lenient"
    monkeypatch.setattr(journaling, "MAX_PART", 1000)
    monkeypatch.setattr(journaling, "MAX_WAITING", 50)
    monkeypatch.setattr(Buffer, "_start_if_needed", lambda self: None)
    for number in range(100):
        metric(f"slug-{number}")
    assert 50 <= len(buffering._buffer.journal) < 60
    flush()


def test_a_full_part_is_written_before_the_interval_ends(directory, monkeypatch):
    monkeypatch.setattr(journaling, "MAX_PART", 1000)
    monkeypatch.setattr(Buffer, "_start_if_needed", lambda self: None)
    metric("orders")
    assert not buffering._buffer.wake.is_set()
    for _ in range(10):
        metric("orders")
    assert buffering._buffer.wake.is_set()


def test_batches_of_many_threads_are_all_in_the_file(database, directory):
    def work(number):
        for _ in range(200):
            metric("orders")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    die()
    aggregate()
    assert counted() == {"orders": 1600}


def test_a_flush_beside_threads_that_record_loses_nothing(transactional_database, directory):
    ended = threading.Event()

    def work():
        for _ in range(200):
            metric("orders")

    def write():
        while not ended.wait(0.005):
            flush()
        connections.close_all()

    writer = threading.Thread(target=write)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in (writer, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    writer.join()
    flush()
    aggregate()
    assert counted() == {"orders": 800}


def test_a_batch_recorded_in_the_middle_of_an_append_is_kept_in_memory(
    transactional_database, directory, settings, monkeypatch
):
    """A garbage collection may close a scope at any moment."""
    settings.APP_METRICS_BACKEND = HERE + "Lenient"
    append = journaling.append_record

    def interrupted(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(journaling, "append_record", append)
            buffering.add(batch_of("inner"))
        append(*arguments)

    monkeypatch.setattr(journaling, "append_record", interrupted)
    buffering.add(batch_of("outer"))
    flush()
    aggregate()
    assert counted() == {"inner": 1, "outer": 1}


def test_an_append_that_takes_long_leaves_the_batches_of_other_threads_in_memory(directory, monkeypatch, caplog):
    monkeypatch.setattr(journaling, "LONGEST_WAIT", 0.01)
    with buffering._buffer.journal.turn(0), ThreadPoolExecutor(1) as pool:
        pool.submit(buffering.add, batch_of("orders")).result()
    assert "another append has not ended" in caplog.text
    assert buffering.unjournalled() == 1
    assert len(buffering._buffer.merging.here().take()) == 1


def test_a_forked_process_leaves_the_journal_and_its_lock_to_the_parent(transactional_database, directory):
    metric("orders")
    (part,) = files(directory)
    child = fork()
    if not child:
        is_empty = not len(buffering._buffer.journal) and segments.is_locked(part)
        os._exit(not is_empty)
    assert os.waitpid(child, 0)[1] == 0
    assert segments.is_locked(part)
    flush()
    aggregate()
    assert counted() == {"orders": 1}


def test_a_forked_process_that_lives_on_does_not_keep_the_lock_of_its_parent(directory):
    metric("orders")
    (part,) = files(directory)
    reader, writer = os.pipe()
    child = fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    die()
    try:
        wait_until(lambda: not segments.is_locked(part))
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(child, 0)


def test_batches_reach_the_disk_at_once_if_the_settings_say_so(directory, settings, monkeypatch):
    reached, to_disk = [], segments.to_disk
    monkeypatch.setattr(segments, "to_disk", lambda descriptor: reached.append(to_disk(descriptor)))
    metric("orders")
    assert not reached
    die()
    settings.APP_METRICS_SPOOL_SYNC = True
    for _ in range(3):
        metric("orders")
    assert len(reached) == 3


def test_a_backend_that_cannot_be_loaded_leaves_the_journal_to_the_next_aggregation(
    transactional_database, directory, settings
):
    metric("orders")
    settings.APP_METRICS_BACKEND = "nowhere.at.all"
    flush()
    aggregate()
    assert (counted(), files(directory)) == ({"orders": 1}, [])


def test_a_process_that_is_killed_loses_nothing(database, directory):
    setup = f"""
import django
from django.conf import settings
import tests.settings
settings.APP_METRICS_SPOOL_DIR, settings.APP_METRICS_FLUSH_INTERVAL = sys.argv[1], 600
settings.APP_METRICS_BACKEND = "{HERE}Ledger"
django.setup()
"""
    record_and_die(setup, directory)
    assert {path.suffix for path in files(directory)} == {PART}
    assert Item.objects.count() == 0
    aggregate()
    assert counted() == {"orders": 100, "child": 1}


def test_an_event_loop_does_not_wait_for_the_disk(directory, settings, monkeypatch):
    settings.APP_METRICS_SPOOL_SYNC = True
    threads = []
    monkeypatch.setattr(segments, "to_disk", lambda descriptor: threads.append(threading.get_ident()))

    async def record():
        metric("orders")
        while not threads:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(record(), 60))
    assert threads != [threading.get_ident()]


def test_what_was_kept_is_written_again_after_an_interval(directory, settings, monkeypatch):
    """A batch is kept if the disk of the spool was full, too; no write of a part takes it along."""
    settings.APP_METRICS_BACKEND, settings.APP_METRICS_FLUSH_INTERVAL = HERE + "Remembering", 0.02
    Remembering.seen.clear()
    batch = batch_of("kept")
    get_backend().keep(batch)
    metric("orders")
    wait_until(lambda: batch.id in Remembering.seen)
    settings.APP_METRICS_FLUSH_INTERVAL = 600


def test_a_batch_that_cannot_be_encoded_does_not_break_the_caller(directory, caplog):
    buffering.add(batch_of("\ud800"))
    assert "Could not append to the journal" in caplog.text
    assert len(buffering._buffer.merging.here().take()) == 1


def test_a_file_that_cannot_be_deleted_counts_nothing_twice(transactional_database, directory, caplog, monkeypatch):
    def refuse(path, missing_ok=False):
        raise PermissionError("not yours")

    metric("orders", 3)
    with monkeypatch.context() as patch:
        patch.setattr(type(directory), "unlink", refuse)
        flush()
    assert "not yours" in caplog.text
    for _ in range(2):
        assert aggregate().failures == []
    assert (counted(), files(directory)) == ({"orders": 3}, [])
