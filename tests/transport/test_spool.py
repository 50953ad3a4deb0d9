"""The spool: pending batches survive their process, are counted once, and damage is reported."""

import fcntl
import os
import resource
import signal
import threading
from collections import Counter
from contextlib import contextmanager, nullcontext

import pytest
from django.db import DatabaseError, connections, transaction

from app_metrics import metric
from app_metrics.aggregation import intake
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch
from app_metrics.dashboard.health import examine
from app_metrics.models import Item, Total
from app_metrics.transport import segments, spool
from app_metrics.transport.base import MetricsBackend
from app_metrics.transport.loading import get_backend
from app_metrics.transport.segments import SEGMENT
from app_metrics.transport.spool import DAMAGED
from tests.support.contract import VARIED, batch_of
from tests.support.forking import fork, record_and_die
from tests.support.newer import make_newer, upgrade

HERE = "tests.transport.test_spool."


class Down(MetricsBackend):
    feeds_totals = True

    def write(self, batch):
        raise OSError("down")


class Elsewhere(Down):
    """A backend that does not feed the totals."""

    feeds_totals = False


@pytest.fixture(autouse=True)
def directory(settings, tmp_path):
    settings.APP_METRICS_SPOOL_DIR = tmp_path
    return tmp_path


def files(directory):
    return sorted(directory.iterdir())


def counted():
    return Counter({total.metric.slug: int(total.total) for total in Total.objects.filter(period="year")})


def test_spooled_batches_are_counted_by_the_next_aggregation(database, directory, settings):
    settings.APP_METRICS_BACKEND = HERE + "Down"
    for _ in range(5):
        metric("orders", 3)
    assert get_backend().kept == 0
    assert len(files(directory)) == 1
    assert not aggregate().failures
    assert counted() == {"orders": 15}
    assert files(directory) == []


def test_every_kind_of_summary_comes_back_as_it_was(directory):
    batch = Batch(VARIED)
    assert spool.append(batch)
    (segment,) = spool.segments()
    with segments.claim(segment) as file:
        assert [segments.decode(record) for record in segments.records(file.read())] == [batch]


def test_batches_of_an_exporter_are_kept_in_memory_not_spooled(directory, settings):
    settings.APP_METRICS_BACKEND = HERE + "Elsewhere"
    metric("orders")
    assert files(directory) == []
    assert get_backend().kept == 1
    next(get_backend()._queues.here().take_each())


def test_a_batch_that_is_there_twice_is_counted_once(database):
    batch = batch_of("orders")
    spool.append(batch)
    aggregate()
    spool.append(batch)
    aggregate()
    assert counted() == {"orders": 1}


@pytest.mark.parametrize("lost", range(1, 12))
def test_half_a_record_at_the_end_costs_nothing_but_itself(database, directory, lost):
    for slug in ("first", "second"):
        spool.append(batch_of(slug))
    (segment,) = files(directory)
    os.truncate(segment, segment.stat().st_size - lost)
    done = aggregate()
    assert counted() == {"first": 1}
    assert (done.failures, files(directory)) == ([], [])


def test_batches_of_a_newer_version_stay_in_their_file_until_an_upgrade(database, directory):
    for slug in ("older", "newer", "newer"):
        spool.append(batch_of(slug))
    (segment,) = files(directory)
    make_newer(segment, "newer")
    before = segment.read_bytes()
    for _ in range(2):
        (failure,) = aggregate().failures
        assert str(segment) in failure
        assert "upgrade app_metrics here" in failure
        assert (counted(), files(directory), segment.read_bytes()) == ({}, [segment], before)
    upgrade(directory)
    assert aggregate().failures == []
    assert (counted(), files(directory)) == ({"older": 1, "newer": 2}, [])


def test_files_beside_one_of_a_newer_version_are_counted(database, directory):
    spool.append(batch_of("newer"))
    (segment,) = files(directory)
    make_newer(segment, "newer")
    with segments.claim(segment):  # so that the next batch begins another file
        spool.append(batch_of("older"))
    assert len(aggregate().failures) == 1
    assert (counted(), files(directory)) == ({"older": 1}, [segment])


def test_a_record_with_a_damaged_newline_counts(database, directory):
    for slug in ("first", "second"):
        spool.append(batch_of(slug))
    (segment,) = files(directory)
    segment.write_bytes(segment.read_bytes()[:-1] + b"\x0b")
    assert aggregate().failures == []
    assert counted() == {"first": 1, "second": 1}


@pytest.mark.parametrize("path", ["\0", "a\0b", "\ud800"])
def test_a_path_that_no_system_has_loses_nothing_and_breaks_no_page(path, database, settings):
    settings.APP_METRICS_SPOOL_DIR = path
    assert not spool.append(batch_of("orders"))
    assert examine().spool is None
    assert aggregate().failures == []


def test_half_a_record_in_the_middle_damages_no_other(database, directory):
    spool.append(batch_of("first"))
    (segment,) = files(directory)
    os.truncate(segment, segment.stat().st_size - 10)
    spool.append(batch_of("second"))
    assert len(aggregate().failures) == 1
    assert counted() == {"second": 1}


def test_a_removed_segment_is_not_claimed_by_a_second_process(directory):
    spool.append(batch_of("first"))
    (segment,) = files(directory)
    with segment.open("rb") as second:
        segment.unlink()  # the first process did so before the second had the lock
        assert not segments._status_if_mine(second.fileno(), segment)


def test_a_damaged_record_is_set_aside_and_reported(database, directory, caplog):
    for slug in ("first", "second", "third"):
        spool.append(batch_of(slug))
    (segment,) = files(directory)
    segment.write_bytes(segment.read_bytes().replace(b"second", b"sXcond"))
    (failure,) = aggregate().failures
    assert counted() == {"first": 1, "third": 1}
    (aside,) = files(directory)
    assert aside.suffix == DAMAGED
    assert b"sXcond" in aside.read_bytes()
    assert str(aside) in failure
    assert "checksum" in caplog.text
    assert examine().spool == (0, 0, 1)
    assert aggregate().failures == []


def test_a_batch_that_no_database_accepts_does_not_block_others(database, directory, monkeypatch):
    for slug in ("first", "second"):
        spool.append(batch_of(slug))
    written = []

    def write(batch):
        (key,) = batch.summaries
        if key.slug == "first":
            raise ValueError("too large")
        written.append(key.slug)

    monkeypatch.setattr(intake, "write_once", write)
    assert len(aggregate().failures) == 1
    assert written == ["second"]


def test_a_database_that_is_away_leaves_the_files_as_they_are(database, directory, monkeypatch):
    for slug in ("first", "second"):
        spool.append(batch_of(slug))
    before = {path: path.read_bytes() for path in files(directory)}
    write, written = intake.write_once, []

    def fail(batch):
        if written:
            raise DatabaseError("away")
        written.append(write(batch))

    with monkeypatch.context() as patch:
        patch.setattr(intake, "write_once", fail)
        (failure,) = intake.replay()
    assert "away" in failure
    assert {path: path.read_bytes() for path in files(directory)} == before
    aggregate()
    assert counted() == {"first": 1, "second": 1}


def test_writers_and_readers_never_share_a_segment(directory):
    spool.append(batch_of("first"))
    (segment,) = files(directory)
    with segment.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert spool.append(batch_of("second"))
        with segments.claim(segment) as file:
            assert file is None
    assert len(files(directory)) == 2


def test_a_segment_that_was_counted_and_removed_is_not_written_to(directory):
    spool.append(batch_of("first"))
    (segment,) = files(directory)
    with segment.open("ab"):
        segment.unlink()
        assert spool.append(batch_of("second"))
    (other,) = files(directory)
    assert b"second" in other.read_bytes()


def forked():
    """Fork a process that inherits open files and lives until the pipe is closed; return its id and our pipe end."""
    reader, writer = os.pipe()
    child = fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    return child, writer


def test_a_process_forked_during_an_append_does_not_lock_the_segment(directory, monkeypatch):
    append, children = segments.append_record, []

    def forking(descriptor, record, durable):
        children.append(forked())
        return append(descriptor, record, durable)

    monkeypatch.setattr(segments, "append_record", forking)
    for _ in range(2):  # once to a new segment, once to an existing one
        spool.append(batch_of("orders"))
        (segment,) = files(directory)
        with segments.claim(segment) as file:
            assert file is not None
            children.append(forked())
    with segments.claim(segment) as file:
        assert len(segments.records(file.read())) == 2
    for child, pipe in reversed(children):
        os.close(pipe)
        os.waitpid(child, 0)


def test_batches_of_many_threads_are_all_there(directory):
    def work():
        for _ in range(100):
            assert spool.append(batch_of("orders"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = []
    for segment in spool.segments():
        with segments.claim(segment) as file:
            found += [segments.decode(record).id for record in segments.records(file.read())]
    assert len(set(found)) == 800
    assert len(files(directory)) <= 8


def test_two_aggregations_and_a_writer_at_once_count_everything_once(transactional_database, directory):
    ended, failures = threading.Event(), []

    def bring():
        try:
            while not ended.is_set():
                failures.extend(intake.replay())
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=bring) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        assert spool.append(batch_of("orders"))
    ended.set()
    for thread in threads:
        thread.join()
    assert failures == []
    aggregate()
    assert counted() == {"orders": 60}
    assert files(directory) == []


@contextmanager
def no_room():
    """Limit files of this process to 1,000 bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_partial_record_on_a_full_disk_is_removed_and_kept_in_memory(directory, settings):
    settings.APP_METRICS_BACKEND = HERE + "Down"
    with no_room():
        for number in range(20):
            metric(f"slug-{number}")
    (segment,) = files(directory)
    assert segment.stat().st_size < 1000
    with segments.claim(segment) as file:
        content = file.read()
        file.seek(0)
        spooled = segments.records(file.read())
    assert content.endswith(b"\n")
    kept = {key.slug for each in get_backend()._queues.here().take_each() for key in each.batch.summaries}
    spooled = {key.slug for record in spooled for key in segments.decode(record).summaries}
    assert kept | spooled == {f"slug-{number}" for number in range(20)}
    assert not kept & spooled
    assert spooled


def test_the_spool_is_bounded(directory, monkeypatch):
    monkeypatch.setattr(spool, "MAX_SEGMENT", 1000)
    monkeypatch.setattr(spool, "MAX_SPOOL", 5000)
    taken = [spool.append(batch_of("orders")) for _ in range(100)]
    assert 5000 <= sum(path.stat().st_size for path in files(directory)) < 6500
    assert taken == sorted(taken, reverse=True)
    assert not taken[-1]


def test_a_segment_that_disappears_while_listing_is_ignored(directory, monkeypatch):
    class Gone:
        name = path = f"1-a{SEGMENT}"

        def stat(self):
            raise FileNotFoundError

    monkeypatch.setattr(segments.os, "scandir", lambda path: nullcontext([Gone()]))
    assert spool.pending() == (0, 0, 0)


def test_an_unreadable_spool_directory_reports_nothing(directory, monkeypatch):
    def refuse(path):
        raise PermissionError

    monkeypatch.setattr(segments.os, "scandir", refuse)
    assert spool.pending() is None


def test_a_disk_without_locks_keeps_no_files(directory, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError("No locks available")

    monkeypatch.setattr(segments.fcntl, "flock", refuse)
    assert [spool.append(batch_of("orders")) for _ in range(3)] == [False] * 3
    assert os.listdir(directory) == []


def test_nothing_is_taken_from_the_spool_within_a_transaction_that_may_undo_it(transactional_database, directory):
    spool.append(batch_of("orders"))
    with transaction.atomic(using=transactional_database):
        done = aggregate()
        transaction.set_rollback(True, using=transactional_database)
    assert "could not be drained" in done.failures[0]
    assert aggregate().failures == []
    assert Total.objects.get(period="year").count == 1


def test_a_directory_that_is_not_there_loses_nothing(settings, tmp_path):
    settings.APP_METRICS_SPOOL_DIR = tmp_path / "missing"
    settings.APP_METRICS_BACKEND = HERE + "Down"
    metric("orders")
    assert get_backend().kept == 1
    assert spool.pending() is None
    assert intake.replay() == []
    next(get_backend()._queues.here().take_each())


def test_spooled_batches_survive_a_killed_process(database, directory):
    setup = """
import django
from django.conf import settings
import tests.settings
settings.APP_METRICS_SPOOL_DIR, settings.APP_METRICS_BACKEND = sys.argv[1], "tests.transport.test_spool.Down"
django.setup()
"""
    record_and_die(setup, directory)
    assert {path.suffix for path in files(directory)} == {SEGMENT}
    assert len(files(directory)) == 1  # the forked process was alone with it
    assert Item.objects.count() == 0
    aggregate()
    assert counted() == {"orders": 100, "child": 1}


def test_spooled_batches_reach_the_disk_at_once_if_the_settings_say_so(directory, settings, monkeypatch):
    reached, to_disk = [], segments.to_disk
    monkeypatch.setattr(segments, "to_disk", lambda descriptor: reached.append(to_disk(descriptor)))
    spool.append(batch_of("orders"))
    assert not reached
    settings.APP_METRICS_SPOOL_SYNC = True
    spool.append(batch_of("orders"))
    assert len(reached) == 1
