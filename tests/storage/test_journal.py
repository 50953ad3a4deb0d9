"""The journal beside a SQLite database: recording makes no transaction of the site fail, and each batch counts once."""

import fcntl
import html
import os
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch
from urllib.parse import quote

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from app_metrics import flush, metric
from app_metrics.aggregation.backlog import backlog
from app_metrics.aggregation.run import aggregate
from app_metrics.core.batch import Batch, Key
from app_metrics.core.histogram import Histogram
from app_metrics.core.uniques import Uniques
from app_metrics.dashboard.health import examine
from app_metrics.dashboard.last_seen import first_recorded, last_recorded
from app_metrics.models import Item, Metric, QuarantinedItem, Total
from app_metrics.models.creation import create_metric
from app_metrics.models.pending import is_complete, pending_batches
from app_metrics.models.queries import QuerySources, all_time
from app_metrics.storage import journal
from app_metrics.storage.journal import SEALED, Journal, journal_of
from app_metrics.storage.sqlite_files import FULL
from app_metrics.transfer.stored_totals import first_stored_day, live_end
from app_metrics.transport import segments
from app_metrics.transport.loading import get_backend, load_backend
from app_metrics.transport.segments import SEGMENT
from tests.support.contract import DAY, VARIED, batch_of
from tests.support.forking import record_and_die
from tests.support.newer import make_newer, upgrade
from tests.support.summaries import measured, seen
from tests.support.threads import at_once, in_thread, while_another

pytestmark = [pytest.mark.usefixtures("transactional_database"), pytest.mark.only_sqlite]


class Killed(BaseException):
    """Ends the work like a signal: nothing of ours catches it."""


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch):
    monkeypatch.setattr(journal, "in_tests", lambda: False)


@pytest.fixture
def directory():
    return journal_of(connection).directory


def write(batch):
    load_backend("app_metrics.backends.db").write(batch)


def suffixes(directory):
    return Counter(path.suffix for path in directory.iterdir())


def counted():
    return Counter({total.metric.slug: int(total.total) for total in Total.objects.filter(period="year")})


def read():
    return Counter({slug: int(summary.total) for (slug, _), summary in all_time(QuerySources.everything()).items()})


@contextmanager
def named(name):
    """Give the database another name, under which it is opened anew."""
    connection.close()
    try:
        with patch.dict(connection.settings_dict, NAME=name):
            yield
    finally:
        connection.close()


@pytest.fixture(params=["delete", "wal"])
def journal_mode(request):
    def switch(mode):
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA journal_mode = {mode}")
        connection.close()

    switch(request.param)
    yield request.param
    switch("delete")


def test_a_counted_request_makes_no_transaction_fail_that_has_read_before(journal_mode, settings):
    settings.ROOT_URLCONF = "tests.support.request_urls"
    with transaction.atomic():
        Metric.objects.count()
        in_thread(lambda: Client().get("/plain/"))
        create_metric("Orders", "orders")
    assert pending_batches().summaries == 10
    assert not Item.objects.exists()


def test_the_health_page_counts_the_journal_and_links_to_items_in_the_database(admin_client):
    write(batch_of("orders", "visits"))
    page = health_page(admin_client)
    assert "Pending items</dt><dd>2</dd>" in page
    assert "Pending items in the database</dt><dd>0</dd>" in page
    assert "Pending items in SQLite's journal</dt><dd>2</dd>" in page
    assert (
        "The list of pending items shows only those in the database; the next aggregation counts the others, too."
        in page
    )
    assert "at the backend" not in page
    with transaction.atomic():
        write(batch_of("logins"))
    page = health_page(admin_client)
    assert "Pending items</dt><dd>3</dd>" in page
    assert (
        f'Pending items in the database</dt><dd><a href="{reverse("admin:app_metrics_item_changelist")}">1</a></dd>'
        in page
    )
    aggregate()
    assert "in the database" not in health_page(admin_client)


def health_page(client):
    return html.unescape(client.get(reverse("admin:app_metrics_dashboard_health")).content.decode())


def test_what_is_recorded_is_seen_at_once_everywhere_and_counted_by_the_next_aggregation(directory):
    orders = create_metric("Orders", "orders")
    for number in (1, 2):
        write(batch_of("orders", "visits", number=number))
        assert orders.total("year", DAY) == (1, 3)[number - 1]
    assert Metric.objects.with_total("year", DAY).get().period_total == 3
    assert read() == {"orders": 3, "visits": 3}
    assert last_recorded(["visits"]).keys() == {("visits", "")}
    assert first_recorded(["visits"], "") == first_stored_day("visits") == DAY
    assert live_end("visits") == (DAY, 23)
    assert (backlog().items, examine().aggregating.backlog.items) == (2, 2)
    assert backlog().age < 3600
    assert not Item.objects.exists()
    assert (aggregate().failures, counted()) == ([], {"orders": 3, "visits": 3})
    assert list(directory.iterdir()) == []
    assert (backlog().items, read()) == (0, {"orders": 3, "visits": 3})


def test_a_composite_backend_and_a_flush_interval_also_write_to_the_journal(settings):
    settings.APP_METRICS_COMPOSITE_BACKENDS = ["app_metrics.backends.db", "app_metrics.backends.dummy"]
    settings.APP_METRICS_BACKEND = "app_metrics.backends.composite"
    for number in (1, 2):
        metric("orders")
        assert read() == {"orders": number}
    settings.APP_METRICS_FLUSH_INTERVAL = 3600
    for _ in range(3):
        metric("orders")
    flush()
    assert read() == {"orders": 5}
    assert not Item.objects.exists()
    assert aggregate().failures == []
    assert counted() == {"orders": 5}


def test_what_is_pending_is_read_and_counted_without_use_tz(directory, settings):
    settings.USE_TZ = False
    metric("orders", 3)
    orders = create_metric("Orders", "orders")
    assert suffixes(directory) == {SEGMENT: 1}
    assert (orders.total("day"), backlog().items) == (3, 1)
    assert aggregate().failures == []
    assert (orders.total("day"), backlog().items) == (3, 0)


def test_every_kind_of_summary_is_stored_as_it_was():
    write(Batch(VARIED))
    (pending,) = pending_batches().batches
    assert pending.summaries == VARIED
    get_backend().drain()
    items = Item.objects.values_list("slug", "kind", "labels", "day", "hour", "total")
    assert sorted(items) == sorted((*key, summary.total) for key, summary in VARIED.items())


def test_a_sum_of_the_database_does_not_see_a_batch_twice_that_is_stored_after_it_was_asked_for():
    create_metric("Orders", "orders")
    write(batch_of("orders"))
    metrics = Metric.objects.with_total("year", DAY)
    for step in (lambda: None, get_backend().drain, aggregate):
        step()
        assert metrics.all().get().period_total == 1


def test_what_is_recorded_inside_a_transaction_is_part_of_it(directory):
    with transaction.atomic():
        metric("orders")
        transaction.set_rollback(True)
    with transaction.atomic():
        metric("orders")
    assert not directory.exists()
    assert Item.objects.count() == 1


def test_in_tests_of_a_project_everything_goes_into_their_database(directory, monkeypatch):
    monkeypatch.setattr(journal, "in_tests", lambda: True)
    metric("orders")
    assert not directory.exists()
    assert Item.objects.count() == 1


@pytest.mark.parametrize("name", [":memory:", "file:memorydb?mode=memory&cache=shared", "file:?cache=private"])
def test_a_database_without_a_file_has_no_journal(name):
    with named(name):
        assert journal_of(connection) is None
        connection.ensure_connection()
        assert journal_of(connection) is None


def test_a_system_without_file_locks_has_no_journal(monkeypatch):
    monkeypatch.setattr(journal, "CAN_LOCK", False)
    metric("orders")
    assert Item.objects.count() == 1


@pytest.mark.parametrize(
    "name",
    ["{path}", "{path.name}", "file:{path}", "file://localhost{path}?mode=rw#top", "file:{path.name}?mode=rwc"],
    ids=["path", "name", "URI", "URI with all parts", "URI of a name"],
)
def test_all_names_of_a_database_have_one_journal(name, tmp_path, monkeypatch, directory):
    link = tmp_path / "a link é.sqlite3"
    link.symlink_to(connection.settings_dict["NAME"])
    path = Path(quote(str(link))) if name.startswith("file:") else link
    monkeypatch.chdir(tmp_path)
    with named(name.format(path=path)):
        assert journal_of(connection).directory == directory
        connection.ensure_connection()
        assert journal_of(connection).directory == directory


def test_the_journal_stays_beside_the_file_that_a_connection_has_opened(tmp_path, monkeypatch, directory):
    database = Path(connection.settings_dict["NAME"])
    monkeypatch.chdir(database.parent)
    with named(database.name):
        connection.ensure_connection()
        monkeypatch.chdir(tmp_path)
        write(batch_of("orders"))
        assert suffixes(directory) == {SEGMENT: 1}
        assert (aggregate().failures, counted()) == ([], {"orders": 1})


def test_another_file_that_a_connection_opens_later_has_its_own_journal(tmp_path):
    with named(tmp_path / "first.sqlite3"):
        for name in ("first", "second"):
            connection.close()
            connection.settings_dict["NAME"] = tmp_path / f"{name}.sqlite3"
            connection.ensure_connection()
            assert journal_of(connection).directory == tmp_path / f"{name}.sqlite3-metrics"


def test_a_path_that_is_not_utf_8_has_a_journal(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.sqlite3")
    with named(path):
        connection.ensure_connection()
        assert journal_of(connection).directory == Path(f"{path}-metrics")


def test_without_a_journal_items_are_written_and_the_reason_is_logged(directory, caplog):
    directory.write_text("a file is in the way")
    metric("orders")
    directory.unlink()
    assert "Could not append to the journal" in caplog.text
    assert Item.objects.count() == 1


def test_a_database_mounted_as_a_single_file_has_no_journal(directory, monkeypatch):
    monkeypatch.setattr(Path, "stat", lambda self, **kw: os.stat(self) if self == directory else os.stat("/proc"))
    metric("orders")
    monkeypatch.undo()
    assert list(directory.iterdir()) == []


def test_a_full_journal_takes_nothing_until_the_next_aggregation(monkeypatch):
    found = Journal(Path(connection.settings_dict["NAME"]))
    found._max_segment, found._max_bytes = 1000, 3000
    monkeypatch.setattr(journal, "journal_of", lambda connection: found)
    for _ in range(30):
        metric("orders")
    in_rows = Item.objects.count()
    assert 3000 <= sum(segments.sizes_in(found.directory).values()) < 4500
    assert 0 < in_rows < 30
    aggregate()
    assert counted() == {"orders": 30}
    metric("orders")
    assert not Item.objects.exists()


def test_a_segment_has_the_permissions_of_the_database_file(directory):
    database = Path(connection.settings_dict["NAME"])
    before = database.stat().st_mode
    database.chmod(0o664)
    try:
        metric("orders")
    finally:
        database.chmod(before)
    (segment,) = directory.iterdir()
    assert segment.stat().st_mode & 0o777 == 0o664
    assert directory.stat().st_mode == directory.parent.stat().st_mode


@pytest.mark.parametrize(("level", "synced"), [("FULL", True), ("EXTRA", True), ("NORMAL", False), ("OFF", False)])
def test_a_batch_is_as_durable_as_a_commit_of_its_connection(level, synced, monkeypatch):
    reached, to_disk = [], segments.to_disk
    monkeypatch.setattr(segments, "to_disk", lambda descriptor: reached.append(to_disk(descriptor)))
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous = {level}")
    metric("orders")
    connection.close()
    assert bool(reached) is synced


@pytest.mark.parametrize(("level", "synced"), [("FULL", True), ("NORMAL", False)])
def test_a_batch_is_as_durable_as_a_commit_of_a_connection_that_is_not_open(level, synced, tmp_path, monkeypatch):
    reached, path = [], tmp_path / "other.sqlite3"
    monkeypatch.setattr(segments, "to_disk", reached.append)
    path.touch()
    options = {"init_command": f"PRAGMA synchronous = {level}"}
    with named(path), patch.dict(connection.settings_dict, OPTIONS=options):
        assert journal.append(connection, batch_of("orders"))
        assert connection.connection is None
    assert bool(reached) is synced


@pytest.mark.parametrize("name", ["missing.sqlite3", "missing/missing.sqlite3"])
def test_a_database_that_does_not_exist_is_not_created_by_a_batch(name, tmp_path):
    with named(tmp_path / name):
        assert not journal.append(connection, batch_of("orders"))
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_elsewhere_later_leads_to_another_journal(tmp_path):
    link = tmp_path / "link.sqlite3"
    with named(link):
        for name in ("first", "second"):
            (tmp_path / name).touch()
            link.unlink(missing_ok=True)
            link.symlink_to(tmp_path / name)
            assert journal_of(connection).directory == tmp_path / f"{name}-metrics"


def test_what_is_deleted_from_the_journal_survives_a_power_failure_in_the_database(monkeypatch):
    levels, write_once = [], journal.write_once

    def level():
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous")
            return cursor.fetchone()[0]

    monkeypatch.setattr(journal, "write_once", lambda *args, **kw: (levels.append(level()), write_once(*args, **kw)))
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous = NORMAL")
    metric("orders")
    aggregate()
    assert (levels, level()) == ([FULL], 1)
    connection.close()


# Where an aggregation may be killed: before and after each change that it makes.
STEPS = {
    "before sealing": ("rename", False),
    "after sealing": ("rename", True),
    "before the commit": ("write_once", False),
    "after the commit": ("write_once", True),
    "after deleting": ("unlink", True),
}


@pytest.mark.parametrize("step", STEPS)
def test_an_aggregation_that_is_killed_anywhere_loses_and_doubles_nothing(step, directory, monkeypatch):
    name, is_done = STEPS[step]
    owner = journal if name == "write_once" else Path
    act = getattr(owner, name)

    def die(*args, **options):
        if is_done:
            act(*args, **options)
        raise Killed

    timer = {Key("export", "timer", "{}", DAY, 22): measured(2, 5)}
    users = Key("users", "unique", "{}", DAY, 22)
    write(Batch({**batch_of("orders").summaries, **timer, users: seen(1, 2)}))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            aggregate()
    assert read() == {"orders": 1, "export": 7, "users": 2}
    write(Batch({**batch_of("orders").summaries, **timer, users: seen(2, 3)}))  # to a segment that nobody has taken
    expected = {"orders": 2, "export": 14, "users": 4}
    assert read() == expected
    assert aggregate().failures == []
    assert (counted(), read()) == (expected, expected)
    stored = Total.objects.get(metric__slug="export", period="year").histogram
    assert Histogram.decode(stored) == Histogram([2, 5, 2, 5])
    stored = Total.objects.get(metric__slug="users", period="year").uniques
    assert Uniques.decode(stored) == Uniques([1, 2, 3])
    assert list(directory.iterdir()) == []


def test_a_batch_that_is_written_again_counts_once_while_it_is_pending(directory):
    batch = batch_of("orders")
    write(batch)
    (segment,) = directory.iterdir()
    for _ in range(2):
        with segments.claim(segment):  # as if another thread wrote
            write(batch)
        write(batch)
        assert read() == {"orders": 1}
    assert suffixes(directory) == {SEGMENT: 2}
    assert aggregate().failures == []
    assert counted() == {"orders": 1}


def test_a_reading_counts_a_batch_once_before_and_after_it_is_stored():
    write(batch_of("orders"))
    sources = QuerySources.everything()
    for step in (lambda: None, get_backend().drain, aggregate):
        step()
        (summary,) = all_time(sources).values()
        assert summary.total == 1


def test_during_writes_and_an_aggregation_readings_never_fall_or_exceed_the_recorded_total():
    seen = []

    def record():
        for _ in range(40):
            write(batch_of("orders"))

    for _ in while_another(lambda: at_once(2, record)):
        seen.append(read()["orders"])
        get_backend().drain()
    assert seen == sorted(seen)
    aggregate()
    assert counted() == {"orders": 80}


def test_two_aggregations_and_writers_at_once_count_everything_once(directory):
    def record():
        for _ in range(40):
            write(batch_of("orders"))

    for _ in while_another(lambda: at_once(3, record)):
        at_once(2, get_backend().drain)
    assert aggregate().failures == []
    assert counted() == {"orders": 120}
    assert list(directory.iterdir()) == []


def test_a_writer_does_not_append_to_a_segment_that_an_aggregation_took(directory):
    write(batch_of("first"))
    (segment,) = directory.iterdir()
    descriptor = os.open(segment, os.O_WRONLY)
    segment.rename(segment.with_suffix(SEALED))
    assert not segments._status_if_mine(descriptor, segment)
    segments.unlock_and_close(descriptor)
    write(batch_of("second"))
    assert suffixes(directory) == {SEGMENT: 1, SEALED: 1}


def test_an_aggregation_waits_for_an_appending_thread_unless_it_hangs(directory, monkeypatch):
    monkeypatch.setattr(journal, "PATIENCE", 30)
    write(batch_of("orders"))
    (segment,) = directory.iterdir()
    with segment.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        draining = threading.Thread(target=lambda: in_thread(get_backend().drain))
        draining.start()
        while not segment.with_suffix(SEALED).exists():
            draining.join(0.01)
        assert draining.is_alive()
    draining.join()
    assert list(directory.iterdir()) == []
    monkeypatch.setattr(journal, "PATIENCE", 0.01)
    write(batch_of("orders"))
    (segment,) = directory.iterdir()
    with segment.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        get_backend().drain()
    assert read() == {"orders": 2}
    aggregate()
    assert counted() == {"orders": 2}


def test_half_a_record_is_not_read_and_damages_no_other(directory):
    write(batch_of("first"))
    (segment,) = directory.iterdir()
    whole = segment.read_bytes()
    for end in range(len(whole) + 1, 2 * len(whole)):
        segment.write_bytes((whole + whole.replace(b"first", b"other"))[:end])
        assert read() == {"first": 1}
    write(batch_of("second"))
    assert read() == {"first": 1, "second": 1}
    assert aggregate().failures == []
    assert counted() == {"first": 1, "second": 1}


def test_short_processes_leave_one_segment(directory):
    for _ in range(20):
        journal_of(connection)._start_afresh()  # as a new process does
        write(batch_of("orders"))
    assert suffixes(directory) == {SEGMENT: 1}
    assert read() == {"orders": 20}


def test_all_segments_are_moved_in_one_transaction(directory):
    with ExitStack() as threads:
        for _ in range(20):
            write(batch_of("orders"))
            for segment in directory.iterdir():
                threads.enter_context(segments.claim(segment))
    assert suffixes(directory) == {SEGMENT: 20}
    with CaptureQueriesContext(connection) as queries:
        load_backend("app_metrics.backends.db").drain()
    assert [each["sql"] for each in queries].count("COMMIT") == 1
    assert (aggregate().failures, counted()) == ([], {"orders": 20})


def test_an_interrupted_write_leaves_nothing_that_counts(directory, monkeypatch):
    write(batch_of("orders"))
    before = read()
    with monkeypatch.context() as patch:
        patch.setattr(segments, "to_disk", interrupted := Mock(side_effect=SystemExit))
        with pytest.raises(SystemExit):
            write(batch_of("orders"))
    assert interrupted.called
    write(batch_of("visits"))
    assert read() == before + Counter(visits=1)
    assert (aggregate().failures, counted()) == ([], before + Counter(visits=1))


def test_a_reading_forgets_a_batch_whose_write_failed_later(directory, monkeypatch):
    write(batch_of("orders"))

    def fail(descriptor):
        assert read() == {"orders": 1, "visits": 1}
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segments, "to_disk", fail)
        write(batch_of("visits"))  # into the database
    write(batch_of("orders"))
    assert read() == {"orders": 2, "visits": 1}
    assert (aggregate().failures, counted()) == ([], {"orders": 2, "visits": 1})


@pytest.mark.parametrize("name", ["0-copy.batches", "x.batches", "0.sealed", "notes.txt"])
def test_other_files_in_the_directory_disturb_nothing(name, directory):
    write(batch_of("orders"))
    (segment,) = directory.iterdir()
    other = directory / name
    other.write_bytes(segment.read_bytes())
    assert read() == {"orders": 1}
    assert (aggregate().failures, counted(), list(directory.iterdir())) == ([], {"orders": 1}, [other])


def test_a_file_in_the_place_of_the_directory_loses_nothing(directory):
    directory.write_bytes(b"")
    write(batch_of("orders"))
    assert read() == {"orders": 1}
    assert (aggregate().failures, counted()) == ([], {"orders": 1})
    directory.unlink()


def test_readings_include_the_journal_if_another_backend_is_configured_later(settings):
    write(batch_of("orders"))
    settings.APP_METRICS_BACKEND = "app_metrics.backends.dummy"
    assert (read(), backlog().items) == ({"orders": 1}, 1)
    aggregate()
    assert (read(), counted()) == ({"orders": 1}, {"orders": 1})


def test_a_damaged_record_is_quarantined_alone_and_reported(directory):
    for slug in ("first", "second", "third"):
        write(batch_of(slug))
    (segment,) = directory.iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"second", b"sXcond"))
    assert read() == {"first": 1, "third": 1}
    done = aggregate()
    assert (done.items, done.quarantined, done.failures) == (2, 1, [])
    assert counted() == {"first": 1, "third": 1}
    quarantined = QuarantinedItem.objects.get()
    assert "sXcond" in quarantined.payload
    assert "checksum" in quarantined.reason


def test_a_segment_of_a_newer_version_stays_until_an_upgrade(directory):
    for slug in ("older", "newer"):
        write(batch_of(slug))
    (segment,) = directory.iterdir()
    make_newer(segment, "newer")
    for _ in range(2):
        assert (read(), is_complete()) == ({}, False)
        (failure,) = aggregate().failures
        assert "upgrade app_metrics here" in failure
        assert (counted(), QuarantinedItem.objects.count()) == ({}, 0)
    upgrade(directory)
    assert aggregate().failures == []
    assert counted() == {"older": 1, "newer": 1}
    assert list(directory.iterdir()) == []


def test_a_file_that_cannot_be_moved_is_reported_and_delays_no_other(directory, monkeypatch):
    write(batch_of("first"))
    (bad,) = directory.iterdir()
    with segments.claim(bad):
        write(batch_of("second"))
    rename = Path.rename

    def refuse(self, target):
        if self == bad:
            raise PermissionError(13, "Permission denied", str(bad))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        (failure,) = aggregate().failures
    assert str(bad) in failure
    assert counted() == {"second": 1}
    assert read() == {"first": 1, "second": 1}


def test_a_file_that_cannot_be_read_hides_no_other_from_readings(directory, monkeypatch, caplog):
    orders = create_metric("Orders", "orders")
    write(batch_of("orders"))
    assert read() == {"orders": 1}
    (known,) = directory.iterdir()
    with segments.claim(known):
        write(batch_of("unknown"))
    (bad,) = set(directory.iterdir()) - {known}
    open_path = Path.open

    def refuse(self, *args, **options):
        if self in (known, bad):
            raise PermissionError(13, "Permission denied", str(self))
        return open_path(self, *args, **options)

    with segments.claim(known), segments.claim(bad), monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        for number in (1, 2):
            write(batch_of("orders"))
            assert orders.total("year", DAY) == 1 + number
        assert Metric.objects.with_total("year", DAY).get().period_total == 3
        assert (backlog().items, examine().aggregating.backlog.items) == (2, 2)
        assert not is_complete()
    assert "Permission denied" in caplog.text
    assert read() == {"orders": 3, "unknown": 1}
    assert is_complete()


def test_a_database_that_is_locked_leaves_the_journal_as_it_is(directory, monkeypatch):
    write(batch_of("orders"))

    def fail(*args, **options):
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_once", fail)
        (failure,) = aggregate().failures
    assert "database is locked" in failure
    assert read() == {"orders": 1}
    aggregate()
    assert counted() == {"orders": 1}


def test_nothing_is_taken_from_the_journal_inside_a_transaction_that_may_be_rolled_back():
    write(batch_of("orders"))
    with transaction.atomic():
        done = aggregate()
        transaction.set_rollback(True)
    assert "inside a transaction" in done.failures[0]
    assert aggregate().failures == []
    assert counted() == {"orders": 1}


def test_the_journal_is_taken_even_if_another_backend_is_configured_by_now(settings):
    write(batch_of("orders"))
    settings.APP_METRICS_BACKEND = "app_metrics.backends.dummy"
    assert aggregate().failures == []
    assert counted() == {"orders": 1}


def test_a_new_database_does_not_count_the_journal_of_a_former_one(directory):
    write(batch_of("orders"))
    migration = import_module("app_metrics.migrations.0001_app_metrics")
    migration.forget_former_journal(None, SimpleNamespace(connection=connection))
    assert list(directory.iterdir()) == []
    write(batch_of("visits"))
    assert read() == {"visits": 1}


def test_what_was_recorded_survives_a_killed_process_and_its_fork(directory):
    setup = "from tests.support.processes import configure; configure('default', sys.argv[1])"
    record_and_die(setup, connection.settings_dict["NAME"])
    assert suffixes(directory) == {SEGMENT: 1}  # the forked process was alone with it
    assert not Item.objects.exists()
    assert read() == {"orders": 100, "child": 1}
    aggregate()
    assert counted() == {"orders": 100, "child": 1}
