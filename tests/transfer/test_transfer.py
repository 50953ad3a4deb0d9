"""Export totals, and import them and plain events."""

import csv
import io
import json
import os
import resource
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from subprocess import PIPE
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from freezegun import freeze_time

from app_metrics import collect, distribution, gauge, metric, unique
from app_metrics.aggregation.run import aggregate
from app_metrics.core.hashing import hash_of
from app_metrics.core.histogram import Histogram
from app_metrics.core.summary import SKETCHES, distinct
from app_metrics.core.uniques import Uniques
from app_metrics.management.commands import metrics_export, metrics_import
from app_metrics.models import AggregationRun, HighWaterMark, ImportedFile, Item, Metric, Milestone, Total
from app_metrics.transfer import backfill, csv_export, csv_import
from app_metrics.transfer.csv_export import COLUMNS
from app_metrics.transfer.source_tables import configured_source
from tests.support.processes import start
from tests.support.scope import full_length
from tests.support.threads import at_once
from tests.support.transferring import IMPORTED_BEFORE, STORED, load, saved, stored
from tests.testapp.models import Order

GOLDEN = Path(__file__).with_name("export_v1.csv")
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 23, 12, tzinfo=BERLIN)
PIPES = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}


@pytest.fixture
def history(transactional_database):
    """A counter with labels and a gauge, with decimals and negative numbers, over a night when clocks change."""
    with collect():
        for hours in range(60):
            at = datetime(2026, 10, 25, tzinfo=BERLIN) + timedelta(hours=hours)
            metric("-orders", Decimal("-1.25") * hours, labels={"plan": "=pro" if hours % 2 else "frée"}, at=at)
        gauge("queue", 7)
        for _ in range(3):
            gauge("queue", 0.1)
    aggregate()
    return transactional_database


def export(*options):
    out = StringIO()
    call_command("metrics_export", *options, "--verbosity=0", stdout=out)
    return out.getvalue()


def empty():
    for model in (Total, Metric, Item, ImportedFile):
        model.objects.all().delete()


def rows_that_fail(*arguments):
    yield from islice(csv_export.rows(*arguments), 3)
    raise OperationalError("the server went away")


def wait_for_each_other(monkeypatch, *places):
    """Let two threads wait, after the functions at these places, until both have called one; or for two seconds."""
    both = threading.Barrier(2)
    for module, name in places:
        monkeypatch.setattr(module, name, waiting(getattr(module, name), both))


def waiting(function, both):
    def called(*arguments):
        result = function(*arguments)
        with suppress(threading.BrokenBarrierError):
            both.wait(2)
        return result

    return called


@pytest.mark.every_database
def test_an_export_imported_into_an_empty_database_gives_equal_totals(history, tmp_path):
    before, path = stored(), saved(tmp_path, export())
    empty()
    out, _, error = load(path)
    assert (out, error) == (f"Imported {len(before)} of {len(before)} lines.\n", None)
    assert stored() == before


@pytest.mark.every_database
def test_histograms_survive_an_export_and_add_up_with_add(transactional_database, tmp_path):
    for number in (1, 2, Decimal("0.5")):
        distribution("price", number, at=NOON)
    aggregate()
    before, path = stored(), saved(tmp_path, export())
    empty()
    assert load(path)[2] is None
    assert stored() == before
    other = saved(tmp_path, path.read_text() + "\r\n", "other.csv")
    assert load(other, "--add")[2] is None
    twice = Histogram([1, 1, 2, 2, Decimal("0.5"), Decimal("0.5")]).encode()
    assert {Histogram.decode(each).encode() for each in Total.objects.values_list("histogram", flat=True)} == {twice}


def test_an_export_of_version_1_sketches_is_read_and_written_the_same(transactional_database, tmp_path):
    text = GOLDEN.read_bytes().decode()
    assert load(GOLDEN)[2] is None
    day = date(2026, 11, 23)
    found = {slug: Metric.objects.get(slug=slug) for slug in ("export", "users", "visitors")}
    assert found["export"].percentile("day", 50, day) == Decimal("1.97834")
    assert found["users"].summary("day", day).uniques == Uniques([hash_of(user) for user in (1, 2, 3)])
    assert found["visitors"].summary("day", day).uniques.count == 1502
    assert export() == text


@pytest.mark.every_database
def test_unique_counts_survive_an_export_and_do_not_add_up(transactional_database, tmp_path):
    for user in (1, 2, 2):
        unique("users", user, at=NOON)
    aggregate()
    before, path = stored(), saved(tmp_path, export())
    empty()
    assert load(path)[2] is None
    assert stored() == before
    other = saved(tmp_path, path.read_text() + "\r\n", "other.csv")
    assert load(other, "--add")[2] is None
    assert Metric.objects.get(slug="users").summary("year", NOON.date()).uniques.count == 2


@pytest.mark.every_database
def test_histograms_that_were_appended_are_exported_as_one(transactional_database):
    for number in (1, 2):
        distribution("price", number, at=NOON)
        aggregate()
    whole = b64encode(Histogram([1, 2]).encode()).decode()
    assert {row["histogram"] for row in csv.DictReader(io.StringIO(export()))} == {whole}


def test_an_export_from_before_there_were_histograms_is_imported(history, tmp_path):
    before = stored()
    rows = csv.reader(io.StringIO(export()))
    text = io.StringIO()
    csv.writer(text).writerows(row[: -len(SKETCHES)] for row in rows)
    empty()
    assert load(saved(tmp_path, text.getvalue()))[2] is None
    assert stored() == before


def test_a_line_with_a_damaged_histogram_is_rejected(transactional_database, tmp_path):
    distribution("price", 1, at=NOON)
    aggregate()
    text, one = export(), b64encode(Histogram([1]).encode()).decode()
    assert f",{one}" in text
    empty()
    assert "is not a histogram" in load(saved(tmp_path, text.replace(f",{one}", ",AAAA")))[1]


@pytest.mark.every_database
@pytest.mark.parametrize("form", ["csv", "json"])
def test_an_export_says_which_total_has_a_damaged_sketch_and_writes_all_others(transactional_database, form):
    unique("users", 1, at=NOON)
    distribution("price", 1, at=NOON)
    aggregate()
    damaged = Total.objects.get(period="week", metric__slug="users")
    Total.objects.filter(pk=damaged.pk).update(uniques=b"nonsense")
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match=r"Sketches that could not be read: 1\."):
        call_command("metrics_export", "--verbosity=0", f"--format={form}", stdout=out, stderr=err)
    assert f"'uniques' of the total {damaged.pk}, the week of 'users' that" in err.getvalue()
    slugs = [line["slug"] for line in (csv.DictReader if form == "csv" else json.load)(io.StringIO(out.getvalue()))]
    assert [slugs.count(slug) for slug in ("price", "users")] == [5, 5]


@pytest.mark.every_database
def test_unknown_unique_counts_stay_unknown_in_an_export_and_an_import(transactional_database, tmp_path):
    unique("users", 1, at=NOON)
    aggregate()
    Total.objects.filter(period="week").update(uniques=b"nonsense")
    out = StringIO()
    with suppress(CommandError):
        call_command("metrics_export", stdout=out, stderr=StringIO())
    empty()
    assert load(saved(tmp_path, out.getvalue()))[0] == "Imported 5 of 5 lines.\n"
    unique("users", 2, at=NOON)
    aggregate()
    metric = Metric.objects.get()
    assert [distinct(metric.summary(period, NOON.date())) for period in ("day", "week", "month")] == [2, None, 2]
    assert export() == export()


@pytest.mark.every_database
def test_the_same_file_changes_nothing_a_second_time(history, tmp_path):
    path = saved(tmp_path, export())
    empty()
    load(path)
    once = stored()
    other = path.rename(tmp_path / "renamed.csv")
    assert IMPORTED_BEFORE.fullmatch(load(other)[0])
    assert stored() == once


@pytest.mark.every_database
def test_an_export_adds_to_existing_totals_only_with_add(history, tmp_path):
    before, path = stored(), saved(tmp_path, export())
    out, _, error = load(path)
    reason = "These metrics already have totals: -orders, queue. Use --add to add those of the file to them."
    assert (out, error) == ("", f"Nothing was imported: {reason}")
    assert (stored(), ImportedFile.objects.count()) == (before, 0)
    assert load(path, "--add")[0] == f"Imported {len(before)} of {len(before)} lines.\n"
    assert Metric.objects.get(slug="-orders").total("year", NOON.date()) == 2 * sum(
        Decimal("-1.25") * n for n in range(60)
    )


def test_the_same_file_is_not_added_again_and_the_command_says_when_it_was_imported(transactional_database, tmp_path):
    path = saved(tmp_path, "2026-11-23,downloads,1\n")
    with freeze_time(NOON):
        load(path)
    said = "This file was imported on 2026-11-23 at 12:00 as file.csv; nothing was changed."
    assert load(path) == (f"{said}\n", "", None)
    how = "To count its lines again, import a copy with another content: add an empty line at the end."
    assert load(path, "--add") == (f"{said} {how}\n", "", None)
    assert Metric.objects.get(slug="downloads").total("day", NOON.date()) == 1
    load(saved(tmp_path, path.read_text() + "\n", "copy.csv"), "--add")
    assert Metric.objects.get(slug="downloads").total("day", NOON.date()) == 2


@pytest.mark.every_database
@pytest.mark.parametrize("metrics_exist", [False, True])
def test_one_of_two_overlapping_simultaneous_imports_is_refused(metrics_exist, history, tmp_path, monkeypatch):
    before, text = stored(), export()
    files = [saved(tmp_path, text, "one.csv"), saved(tmp_path, f"{text}\r\n", "other.csv")]
    empty()
    if metrics_exist:
        Metric.objects.bulk_create([Metric(slug="-orders"), Metric(slug="queue", kind="gauge")])
    wait_for_each_other(monkeypatch, (csv_import, "_refuse_counted"))
    todo = [csv_import.check_file(path, print) for path in files]

    def count():
        try:
            return csv_import.import_file(todo.pop())
        except ValueError as error:
            return str(error)

    counted, refused = sorted(at_once(2, count), key=str)
    assert counted == len(before)
    assert refused.startswith("These metrics already have totals: -orders, queue.")
    assert stored() == before


@pytest.mark.every_database
def test_an_import_says_if_another_process_imported_the_same_file_meanwhile(
    transactional_database, tmp_path, monkeypatch
):
    path = saved(tmp_path, "2026-11-23,downloads,1\n2026-11-23,downloads,x\n")
    wait_for_each_other(monkeypatch, (metrics_import, "check_file"))
    (out, _, error), (other_out, _, other_error) = sorted(at_once(2, lambda: load(path)))
    assert (out, error) == ("Another process has imported this file meanwhile; each line is counted once.\n", None)
    (rejected,) = tmp_path.glob("file.csv.rejected*")
    assert (other_out, other_error) == ("Imported 1 of 2 lines.\n", f"1 line was rejected. Fix and import {rejected}.")
    assert Metric.objects.get(slug="downloads").total("day", NOON.date()) == 1


@pytest.mark.every_database
def test_an_import_beside_a_backfill_of_the_same_history_counts_it_once(
    transactional_database, settings, tmp_path, monkeypatch
):
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    Order.objects.bulk_create([Order(placed_at=NOON - timedelta(hours=hours)) for hours in range(5)])
    backfill.backfill(configured_source("orders"))
    before, checked = stored(), csv_import.check_file(saved(tmp_path, export()), print)
    empty()
    wait_for_each_other(monkeypatch, (csv_import, "_refuse_counted"), (backfill, "stored_between"))
    todo = [partial(csv_import.import_file, checked), partial(backfill.backfill, configured_source("orders"))]

    def count():
        with suppress(ValueError):
            todo.pop()()

    at_once(2, count)
    assert stored() == before


def test_importing_metrics_without_totals_needs_no_option(history, tmp_path):
    path = saved(tmp_path, export())
    empty()
    metric("others")
    aggregate()
    Metric.objects.create(slug="queue", name="Queue", kind="gauge")
    assert load(path)[2] is None


def test_a_refused_import_names_at_most_five_metrics(transactional_database, tmp_path):
    for number in range(7):
        metric(f"m{number}")
    assert "These metrics already have totals: m0, m1, m2, m3, m4, …. Use --add" in load(saved(tmp_path, export()))[2]


@pytest.mark.every_database
def test_plain_lines_add_to_existing_totals(history, tmp_path):
    before = Metric.objects.get(slug="-orders").total("year", NOON.date())
    assert load(saved(tmp_path, "2026-11-23,-orders,5\n"))[0] == "Imported 1 of 1 line.\n"
    assert Metric.objects.get(slug="-orders").total("year", NOON.date()) == before + 5


def test_formulas_in_cells_are_escaped(history):
    rows = list(csv.reader(io.StringIO(export())))
    assert rows[0] == list(COLUMNS)
    assert {row[0] for row in rows[1:]} == {"'-orders", "queue"}
    assert not any(row[4].startswith(("=", "+", "-", "@")) for row in rows[1:])


def test_formulas_after_semicolons_are_escaped_and_imported_unchanged(transactional_database, tmp_path):
    metric("orders", labels={"plan": "a;=cmd()"}, at=NOON)
    path = saved(tmp_path, export())
    before = stored()
    assert [cell for line in path.read_text().splitlines() for cell in line.split(";") if cell.startswith("=")] == []
    empty()
    assert load(path)[2] is None
    assert stored() == before


def test_json_is_one_array_of_the_same_rows(history):
    rows = json.loads(export("--format=json"))
    assert len(rows) == Total.objects.count()
    assert rows[0] | {"labels": {}} == {
        "slug": "-orders", "kind": "counter", "period": "day", "start": "2026-10-25", "labels": {}, "count": 12,
        "total": "-180", "minimum": "-28.75", "maximum": "-1.25", "last": "-28.75", "last_at": rows[0]["last_at"],
        "histogram": None, "uniques": None,
    }  # fmt: skip


def test_an_empty_export_is_an_empty_array_or_a_heading(transactional_database):
    assert json.loads(export("--format=json")) == []
    assert export() == ",".join(COLUMNS) + "\r\n"


@pytest.mark.every_database
def test_since_excludes_earlier_totals(history):
    rows = json.loads(export("--format=json", "--since=2026-10-26"))
    assert {row["start"][:10] for row in rows if row["slug"] == "-orders"} == {"2026-10-26", "2026-10-27"}


def test_an_export_aggregates_first(transactional_database):
    metric("late")
    assert [row["slug"] for row in json.loads(export("--format=json"))] == ["late"] * 5


def test_an_export_is_written_to_the_output_file(history, tmp_path):
    export(f"--output={tmp_path / 'out.csv'}")
    assert (tmp_path / "out.csv").read_bytes().decode() == export()


@pytest.mark.parametrize("written", ["csv", "json"])
def test_an_export_that_fails_leaves_the_former_file_as_it_was(written, history, tmp_path, monkeypatch):
    path = saved(tmp_path, "the former backup", "out")
    monkeypatch.setattr(metrics_export, "rows", rows_that_fail)
    with pytest.raises(CommandError, match="The export is incomplete: the server went away"):
        export(f"--output={path}", f"--format={written}")
    assert path.read_text() == "the former backup"
    assert list(tmp_path.iterdir()) == [path]


def test_an_export_keeps_the_mode_of_the_file_and_the_link_that_it_replaces(history, tmp_path):
    path = saved(tmp_path, "the former backup", "out.csv")
    path.chmod(0o600)
    (tmp_path / "link.csv").symlink_to(path)
    export(f"--output={tmp_path / 'link.csv'}")
    assert path.read_bytes().decode() == export()
    assert (path.stat().st_mode & 0o777, (tmp_path / "link.csv").is_symlink()) == (0o600, True)


def test_an_export_is_written_into_a_pipe(history, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit((tmp_path / "pipe").read_bytes)
        export(f"--output={tmp_path / 'pipe'}")
    assert reading.result().decode() == export()


def test_a_folder_that_is_missing_is_an_error_and_no_traceback(history, tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        export(f"--output={tmp_path / 'none' / 'out.csv'}")


def test_standard_output_that_cannot_hold_a_label_is_an_error_and_no_traceback(history):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = start("tests.support.manage", history, "metrics_export", env=environment, stdout=PIPE, stderr=PIPE)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("CommandError: The export is incomplete: 'ascii' codec can't encode")
    assert "give --output FILE" in err


def test_plain_lines_are_counted_with_or_without_a_heading(transactional_database, tmp_path):
    lines = '2026-11-23T09:30,downloads,4\n2026-11-22T23:30:00+00:00,downloads,1.5,"{""plan"": ""pro""}"\n'
    load(saved(tmp_path, lines))
    load(saved(tmp_path, "timestamp,slug,num,labels\n" + lines, "second.csv"))
    downloads = Metric.objects.get(slug="downloads")
    assert downloads.total("day", NOON.date()) == 11
    assert downloads.total("day", NOON.date(), labels={"plan": "pro"}) == 3
    assert downloads.total("hour", datetime(2026, 11, 23, 9, tzinfo=BERLIN)) == 8


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2026-11-23,down loads,1", "is not a slug"),
        ("yesterday,downloads,1", "is not a time; give one such as 2026-11-23T09:00."),
        ("2026-11-23,downloads,many", "'many' is not a number."),
        ("2026-11-23,downloads,NaN", "cannot be recorded"),
        ("2026-11-23,downloads,1e30", "cannot be recorded"),
        ("2026-11-23,downloads", "The line has 2 cells"),
        ("2026-11-23,downloads,1,[]", "Labels must be a mapping"),
        ("2026-11-23,downloads,1,{", "Expecting"),
        ("2026-11-23,downloads,1," + "[" * 100_000, "nested too deeply"),
        ("2026-11-23,downloads,1," + "x" * 200_000, "A cell has more than 131,072 characters."),
        ("x" * 200_000, "A cell has more than 131,072 characters."),
        ("9999-11-23,downloads,1", "is in the year 9999"),
        (
            "1790120511230,downloads,1",
            "'1790120511230' is a number; give a time in ISO format, such as 2026-11-23T09:00",
        ),
        ("1790-12-05T12:30,downloads,1", "is in the year 1790; APP_METRICS_YEARS allows 1970 to 2100."),
    ],
)
def test_a_bad_line_is_rejected_by_number_and_the_others_count(line, reason, transactional_database, tmp_path):
    path = saved(tmp_path, f"2026-11-23,downloads,1\n{line}\n2026-11-23,downloads,2\n")
    out, err, error = load(path)
    assert (out, error) == ("Imported 2 of 3 lines.\n", f"1 line was rejected. Fix and import {path}.rejected.")
    assert err.startswith("Line 2: ")
    assert reason in err
    assert Metric.objects.get(slug="downloads").total("day", NOON.date()) == 3


def test_a_line_with_a_cell_that_is_too_long_is_rejected_as_it_is(transactional_database, tmp_path):
    lines = (
        f'timestamp,slug,num,labels\n2026-11-23,downloads,1,"{{""plan"": ""{"x" * 200_000}""}}"\n2026-11-23,downloads,2'
    )
    load(saved(tmp_path, lines))
    heading, long, _ = lines.splitlines()
    assert (tmp_path / "file.csv.rejected").read_text().splitlines() == [heading, long]
    assert Metric.objects.get(slug="downloads").total("day", NOON.date()) == 2


@pytest.mark.parametrize(
    "text",
    [
        '2026-11-23,downloads,1,"' + "2026-11-23,downloads,1\n" * 10_000,
        '"' + "2026-11-23,downloads,1\n" * 10_000,
        '2026-11-23,downloads,1,"' + "x" * 200_000 + '\n2026-11-23,downloads,1\n"\n',
        '2026-11-23,down"loads,1,"' + "2026-11-23,downloads,1\n" * 10_000,
    ],
    ids=["of many lines", "of the heading", "of two lines", "after a quote without a meaning"],
)
def test_a_file_is_refused_if_nobody_knows_where_a_cell_that_is_too_long_ends(text, transactional_database, tmp_path):
    path = saved(tmp_path, text)
    reason = "Line 1 begins a cell of several lines with more than 131,072 characters; check its quotes."
    assert load(path)[2] == f"Nothing was imported: {reason}"
    assert list(tmp_path.iterdir()) == [path]
    assert not Item.objects.exists()


def test_the_longest_cell_of_an_export_has_3000_characters_at_most(transactional_database, tmp_path):
    metric("orders", labels={"0" + ";" * 99: ";" * 100, "1" + ";" * 99: ";" * 100, ";": ";" * 75})
    path = saved(tmp_path, export())
    assert 2800 < max(len(cell) for row in csv.reader(io.StringIO(path.read_text())) for cell in row) <= 3000


def test_rejected_lines_can_be_fixed_and_imported(transactional_database, tmp_path):
    load(saved(tmp_path, "2026-11-23,downloads,1\n2026-11-23,downloads,x\n"))
    rejected = tmp_path / "file.csv.rejected"
    rejected.write_text(rejected.read_text().replace("x", "5"))
    load(rejected)
    assert Metric.objects.get(slug="downloads").total("day", NOON.date()) == 6


def test_rejected_lines_of_earlier_imports_are_kept(transactional_database, tmp_path):
    former = saved(tmp_path, "mended, but not imported yet", "file.csv.rejected")
    _, _, error = load(saved(tmp_path, "2026-11-23,downloads,1\n2026-11-23,downloads,x\n"))
    assert error == f"1 line was rejected. Fix and import {former}-2."
    assert former.read_text() == "mended, but not imported yet"
    assert (tmp_path / "file.csv.rejected-2").read_text().splitlines()[1] == "2026-11-23,downloads,x"


def test_a_refused_import_rejects_no_line(history, tmp_path):
    path = saved(tmp_path, export() + "bad line\r\n")
    assert load(path)[2].startswith("Nothing was imported: ")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.every_database
def test_importing_the_same_file_keeps_a_fixed_file_of_rejected_lines(transactional_database, tmp_path):
    path = saved(tmp_path, "2026-11-23,downloads,1\n2026-11-23,downloads,x\n")
    load(path)
    rejected = tmp_path / "file.csv.rejected"
    mended = rejected.read_text().replace("x", "5")
    rejected.write_text(mended)
    out, err, error = load(path)
    assert IMPORTED_BEFORE.fullmatch(out)
    assert (err, error) == ("", None)
    assert rejected.read_text() == mended


def test_imported_history_announces_no_milestone(history, settings, tmp_path):
    path = saved(tmp_path, export())
    empty()
    settings.APP_METRICS_MILESTONES = {"queue": [1], "downloads": [5]}
    metric("downloads", 2)
    aggregate()
    heading, *_ = path.read_text().splitlines()
    line = "downloads,counter,{},{},{},9,9,1,1,1,1"
    years = [line.format("year", "2020-01-01", "{}"), line.format("year", "2021-01-01", '"{""plan"": ""pro""}"')]
    load(saved(tmp_path, "\n".join([heading, *years])), "--add")
    assert Milestone.objects.count() == 0
    assert HighWaterMark.objects.get(slug="downloads").total == 20


def test_an_export_since_a_year_that_is_not_allowed_is_an_error(history):
    with pytest.raises(CommandError, match="17901205 is in the year 1790; APP_METRICS_YEARS allows"):
        export("--since=17901205")


@pytest.fixture
def plans(transactional_database):
    """Two metrics with label sets of two labels, one whose text looks like another, and an overflow series."""
    label_sets = [{"plan": "pro", "country": "fi"}, {"plan": "pro"}, {"plan": "free"}, {'x"plan': "pro"}, {}]
    for labels in label_sets:
        for hours in (0, 30):
            metric("orders", 5, labels=labels, at=NOON - timedelta(hours=hours))
            distribution("price", hours + 1, labels=labels, at=NOON)
    aggregate()


@pytest.mark.every_database
def test_a_filtered_export_holds_the_totals_of_matching_label_sets_as_they_are_stored(plans, tmp_path):
    has_plan = Total.objects.filter(labels__in=['{"country":"fi","plan":"pro"}', '{"plan":"pro"}'])
    matching = [row for row in stored() if row in set(has_plan.values_list(*STORED))]
    path = saved(tmp_path, export("--where=plan=pro"))
    assert export("--where=plan=pro", "--where=country=no").count("\n") == 1
    empty()
    load(path)
    assert stored() == matching


def test_a_filtered_export_names_the_metrics_whose_overflow_it_leaves_out(plans, settings):
    settings.APP_METRICS_MAX_LABEL_SETS = 4
    metric("orders", labels={"plan": "pro", "country": "no"})
    err = StringIO()
    call_command("metrics_export", "--where=plan=pro", stdout=StringIO(), stderr=err)
    assert "leaves out the overflow series of orders: its labels are not known" in err.getvalue()
    assert "overflow" not in export("--where=plan=pro")


def test_an_export_filtered_by_a_label_that_nothing_has_is_an_error(plans):
    with pytest.raises(CommandError, match=r"There is no label 'plna'\. Did you mean 'plan'\?"):
        export("--where=plna=pro")


def test_an_export_since_a_date_names_missing_years(history):
    for since, said in (("2026-06-01", ["including the year 2026"]), ("2026-01-01", [])):
        err = StringIO()
        call_command("metrics_export", f"--since={since}", stdout=StringIO(), stderr=err)
        assert [text for text in ["including the year 2026"] if text in err.getvalue()] == said


def test_a_rejected_line_of_an_export_can_be_fixed_and_imported(history, tmp_path):
    before = stored()
    heading, first, *rest = export().splitlines(keepends=True)
    empty()
    load(saved(tmp_path, "".join([heading, first.replace(",day,", ",dax,", 1), *rest])))
    assert stored() != before
    rejected = tmp_path / "file.csv.rejected"
    rejected.write_text(rejected.read_text().replace(",dax,", ",day,"))
    load(rejected, "--add")
    assert stored() == before


@pytest.mark.parametrize(
    ("period", "cell", "value"),
    [
        ("hour", 1, "sum"),
        ("hour", 2, "decade"),
        ("hour", 3, "2026-13-01"),
        ("hour", 3, "2026-11-23T12:30:00+01:00"),
        ("month", 3, "2026-11-02"),
        ("hour", 3, "1790120511200"),
        ("year", 3, "1790-01-01"),
        ("week", 3, "17901206"),
        ("hour", 5, "0"),
        ("hour", 6, "x"),
        ("hour", 7, "inf"),
        ("hour", 10, ""),
        ("hour", 10, "9" * 20),
    ],
)
def test_a_damaged_line_of_an_export_is_rejected(period, cell, value, transactional_database, tmp_path):
    with freeze_time(NOON):
        metric("orders")
    rows = list(csv.reader(io.StringIO(export())))
    rows[[row[2] for row in rows].index(period)][cell] = value
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    empty()
    assert load(saved(tmp_path, text.getvalue()))[0] == "Imported 4 of 5 lines.\n"


def test_a_binary_file_imports_nothing(transactional_database, tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(b"2026-11-23,downloads,1\n\xff\xfe,x,1\n")
    assert "Nothing was imported: Line" in load(path)[2]
    assert not Item.objects.exists()


@pytest.mark.parametrize("name", ["none.csv", "", "/"])
def test_a_name_without_a_file_is_an_error_and_no_traceback(name, transactional_database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(name)[2].startswith("Nothing was imported: ")


def test_a_pipe_is_refused_with_a_hint_because_it_can_be_read_only_once(transactional_database, tmp_path):
    process = start("tests.support.manage", transactional_database, "metrics_import", "/dev/stdin", **PIPES)
    out, err = process.communicate("2026-11-23,downloads,1\n")
    reason = "/dev/stdin is not a regular file, but an import reads it several times: save it as a file first."
    assert (out, err, process.returncode) == ("", f"CommandError: Nothing was imported: {reason}\n", 1)


def test_a_named_pipe_is_refused_before_anything_waits_for_its_writer(transactional_database, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in load(tmp_path / "pipe")[2]


def test_a_file_that_changes_while_it_is_imported_counts_nothing(transactional_database, tmp_path):
    path = saved(tmp_path, "2026-11-23,downloads,1\n")
    checked = csv_import.check_file(path, print)
    path.write_text(path.read_text() * 2)
    with pytest.raises(ValueError, match="changed while it was read"):
        csv_import.import_file(checked)
    assert (Item.objects.count(), ImportedFile.objects.count()) == (0, 0)


@pytest.mark.every_database
def test_a_failure_in_the_middle_imports_nothing(transactional_database, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_import, "CHUNK_SIZE", 1)
    path = saved(tmp_path, "2026-11-23,downloads,1\n2026-11-23,downloads,2\n")
    checked = csv_import.check_file(path, print)

    def stop(lines):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        csv_import.import_file(checked, on_progress=stop)
    assert (Item.objects.count(), ImportedFile.objects.count()) == (0, 0)
    assert load(path)[0] == "Imported 2 of 2 lines.\n"
    assert Metric.objects.get(slug="downloads").total("day", NOON.date()) == 3


@pytest.mark.every_database
def test_plain_lines_are_aggregated_by_the_import(transactional_database, tmp_path):
    load(saved(tmp_path, "2026-11-23,downloads,1\n"))
    assert (Item.objects.count(), AggregationRun.objects.get().items) == (0, 1)


@pytest.mark.skipif(not full_length, reason="1,000,000 lines: run by `make soak`")
def test_a_million_lines_import_in_bounded_memory(transactional_database, tmp_path):
    path = tmp_path / "million.csv"
    with path.open("w") as stream:
        for number in range(1_000_000):
            stream.write(
                f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:00,slug-{number % 50},{number % 7}\n"
            )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert load(path)[0].endswith("Imported 1000000 of 1000000 lines.\n")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert sum(Total.objects.filter(period="year").values_list("count", flat=True)) == 1_000_000
    assert grown < 200
