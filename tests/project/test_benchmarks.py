"""Every benchmark runs at a tiny scale and counts correctly, and fails if its subject does not do the work.

No test measures time.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings
from freezegun import freeze_time

import benchmarks
from benchmarks import (
    __main__ as main,
)
from benchmarks import (
    aggregation,
    calls,
    dashboard,
    history,
    items,
    middleware,
    outages,
    page,
    peers,
    reading,
    runner,
    scaling,
    server,
    size,
    sketches,
    timers,
    uniques,
    work,
    writing,
)
from benchmarks.runner import Case, Measured, Scale, Subject, at_most, measure
from tests.support import services

pytestmark = pytest.mark.slow

RIGHT = calls.PLAIN._replace(name="broken", facts={**calls.HOW, "runs": 10})


@pytest.fixture(scope="module")
def world() -> Iterator[Any]:
    with calls.world() as there:
        yield there


@pytest.mark.parametrize("case", calls.CASES, ids=lambda case: case.name)
def test_calls_count_like_their_peers(world: Any, case: Case) -> None:
    few = {"runs": min(case.facts["runs"], 10), "rounds": min(case.facts["rounds"], 2)}
    measured = calls.run(case._replace(facts={**case.facts, **few}), *world, 1)
    assert [each.reference for each in measured] == list(case.references)


@pytest.mark.parametrize("who", [calls.OURS, *RIGHT.references])
def test_a_call_that_counts_nothing_makes_the_benchmark_fail(world: Any, who: str) -> None:
    statements = {calls.OURS: RIGHT.subject, **RIGHT.references}
    statements[who] = ("pass", statements[who][1])
    with pytest.raises(AssertionError, match=f"what {who} in broken counted: 0.* instead of 20"):
        calls.run(RIGHT._replace(subject=statements.pop(calls.OURS), references=statements), *world, 1)


def test_a_call_that_counts_while_disabled_makes_the_benchmark_fail(world: Any) -> None:
    with pytest.raises(AssertionError, match=r"counted: 20.* instead of 0"):
        calls.run(RIGHT._replace(facts={**RIGHT.facts, "disabled": True}), *world, 1)


# The sites that need no packages beyond those of the tests.
SITES = [name for name, site in middleware.SITES.items() if site.middlewares in ([], middleware.OURS)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["WSGI", "ASGI"])
def test_requests_are_counted_and_are_one_statement_at_most(kind: str) -> None:
    table = middleware.added(kind, SITES, peers.OpenTelemetry(), Scale.TINY)
    statements = {each.case.name: each.case.facts["statements"] for each in table.measured}
    assert statements[middleware.JUDGED] == 1
    assert statements["middleware"] == 0


@pytest.mark.django_db(transaction=True)
def test_memory_of_requests_is_measured() -> None:
    table = middleware.memory(SITES[:3], peers.OpenTelemetry(), Scale.TINY)
    assert [each.case.name for each in table.measured] == SITES[:3]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", [middleware.JUDGED, middleware.REFERENCE, "OpenTelemetry"])
def test_uncounted_requests_fail_the_benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = middleware.SITES[name]
    monkeypatch.setitem(middleware.SITES, name, site._replace(middlewares=[]))
    bench = middleware.Bench(name, "WSGI", peers.OpenTelemetry())
    bench.medians()
    bench.site = site
    bench._before = bench._counted()
    with pytest.raises(AssertionError, match=r"0(\.0)? instead of 40"):
        bench.check()


def test_batches_reach_every_database(transactional_database: str) -> None:
    assert len(writing.Writing(1, 2).database(transactional_database, 10)) == 2


@pytest.mark.django_db(transaction=True)
def test_batches_reach_redis_celery_and_the_buffer() -> None:
    if "redis" in services.missing or services.variable("redis") not in main.os.environ:
        pytest.skip("redis: no server was started")
    to = writing.Writing(1, 2)
    assert len([*to.redis(10), *to.celery(), *to.buffer()]) == 6
    assert writing.bring(10) > 0


@pytest.mark.django_db(transaction=True)
def test_a_write_that_was_lost_makes_the_benchmark_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "writing", lambda write, slugs: lambda: None)
    with pytest.raises(AssertionError, match="what slug counted: 0 instead of 4"):
        writing.Writing(1, 2).database("default", 1)


def test_both_measured_aggregations_give_the_prepared_totals(transactional_database: str) -> None:
    shape = items.Shape(10, 1)
    items.prepare(transactional_database, shape)
    measured = aggregation.aggregated(transactional_database, shape, 10_000, True, Scale.TINY)
    table = aggregation.aggregations(measured, [aggregation.grown(measured[0], measured[0])])
    assert len(table.cells()["rows"]) == len(measured)
    kind = measured[0].case.facts["database"]
    assert [limit["what"] for limit in table.limits()] == [f"aggregating 10,000 items of 10 keys, {kind}"] * 2


def test_measured_aggregations_have_the_numbers_of_timers_and_gauges(transactional_database: str) -> None:
    measured = timers.aggregated(transactional_database, items.Shape(10, 1), 10_000, 1)
    assert [each.reference for each in measured] == ["gauges"]
    assert measured[0].median("bytes") > 100
    assert len(timers.aggregations(measured).limits()) == 1


def test_measured_aggregations_have_everybody_in_a_unique_count(transactional_database: str) -> None:
    measured = uniques.aggregated(transactional_database, items.Shape(100, 1), 20_000, 1)
    assert [each.reference for each in measured] == ["counters"]
    assert measured[0].median("bytes") >= 3 + 100 * 8 + 4


def test_measured_folds_have_the_events_of_each_kind(settings: Any) -> None:
    table = uniques.folds(1)
    assert [each.reference for each in table.measured] == ["counter", "gauge"]


@pytest.mark.django_db
def test_measured_readings_of_a_month_find_its_users_and_events() -> None:
    measured = measure(uniques.month(100), 1)
    assert [each.reference for each in measured] == ["a counter"] * 2
    assert len(uniques.months(measured).cells()["rows"]) == 2


@pytest.mark.django_db
def test_users_that_were_read_wrongly_make_the_benchmark_fail() -> None:
    with pytest.raises(AssertionError, match=r"numbers that were read wrongly: \[100\] instead of \[\]"):
        uniques.timed(lambda: [100], 150)


def test_measured_folds_have_the_numbers_of_each_kind(settings: Any) -> None:
    table = timers.folds(1)
    assert [each.reference for each in table.measured] == ["gauge", "counter"]
    assert [limit["limit"] for limit in table.limits()] == ["+0.25 µs"]


def test_a_sketch_without_its_numbers_makes_the_benchmark_fail() -> None:
    with pytest.raises(AssertionError, match="timers, in the sketch: 0 instead of 3"):
        sketches.fold("timer", [1, 2, 3], lambda summary: 0)


def test_writers_beside_an_aggregation_lose_nothing(transactional_database: str) -> None:
    assert aggregation.waits(transactional_database, "alone", 10_000, 0.5)["writes"] > 0


@pytest.mark.parametrize(
    ("found", "error"), [({}, "None instead of 1"), ({"a": 2}, "2 inst"), ({"a": 1, "b": 1}, "1 inst")]
)
def test_wrong_totals_fail_the_benchmark(found: Any, error: str) -> None:
    with pytest.raises(AssertionError, match=error):
        aggregation.check("sqlite", found, {"a": 1})


@pytest.mark.django_db
def test_events_that_a_writer_lost_make_the_benchmark_fail() -> None:
    with pytest.raises(AssertionError, match="default, 2026-11-23: 0 instead of 3"):
        aggregation.check_events("default", work.DAY, work.EVENTS)


@pytest.mark.parametrize(("answered", "counted", "loads"), [(3, 0, 1), (3, 2, 1), (3, 100, 1), (0, 3, 0)])
def test_a_server_that_counts_wrongly_makes_the_benchmark_fail(answered: int, counted: int, loads: int) -> None:
    with pytest.raises(AssertionError, match=f"db counted {counted} requests where {answered} were answered"):
        server.check("db", counted, answered, loads)


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_a_server_counts_the_requests_of_every_variant() -> None:
    tables = list(server.requests("sqlite", server.PAGES, server.COMPARED, 1, 1))
    assert [[each.case.name for each in table.measured] for table in tables] == [list(server.COMPARED)] * 2
    assert [limit["limit"] for table in tables for limit in table.limits()] == ["at least 100%"] * 2


@pytest.mark.django_db
def test_trends_of_any_number_of_metrics_are_two_queries() -> None:
    reading.fill(3, 1)
    for metrics in (2, 3):
        (measured,) = measure([reading.trends_case(metrics, "trends")], 1)
        assert measured.limit["met"] is True


@pytest.mark.django_db
def test_a_measured_report_agrees_with_the_statement_by_hand() -> None:
    table = reading.reports(2, 1, repeats=1)
    assert [row[-1] for row in table.cells()["rows"]] == ["5", ""]


@pytest.mark.django_db(transaction=True)
def test_pages_at_size_stay_within_their_queries() -> None:
    urls = override_settings(ROOT_URLCONF="tests.support.api_urls")
    with freeze_time(history.NOW), urls:
        table = size.pages("default", "sqlite", size.TINY, 1)
    for each in table.measured:
        assert each.case.facts["queries"] <= int(each.limit["limit"].split()[0]), each.case.name


def test_the_dashboard_shows_its_pages_within_their_queries(transactional_database: str) -> None:
    if connections[transactional_database].vendor != "postgresql":
        pytest.skip("it is measured on PostgreSQL")
    with freeze_time(history.NOW):
        dashboard.fill(transactional_database, 10, 1)
        table = dashboard.dashboard(transactional_database, "10 metrics", 10, 1)
    most = {each.case.name: int(each.limit["limit"].split()[0]) for each in table.measured}
    assert all(each.case.facts["queries"] <= most[each.case.name] for each in table.measured)


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_never_answers_is_left_alone() -> None:
    measured = outages.silent("Redis", outages.BROKERS["Redis"], 1, 2)
    assert [len(each.values()) for each in measured] == [3, 2]


@pytest.fixture
def large_site(transactional_database: str) -> None:
    if connections[transactional_database].vendor != "postgresql":
        pytest.skip("it is measured on PostgreSQL")


def test_events_of_several_processes_reach_the_totals_through_the_journal(large_site: None) -> None:
    table = scaling.journal([scaling.site(10, 1)])
    assert table.cells()["rows"][0][:4] == ["10", "10,000", "2", "500.0"]


def test_series_of_redis_are_measured_and_reach_the_totals(large_site: None) -> None:
    if "redis" in services.missing or services.variable("redis") not in main.os.environ:
        pytest.skip("redis: no server was started")
    measured = scaling.pending(20)
    assert measured.median("bytes") > 100
    assert len(scaling.redis([measured]).cells()["rows"]) == 1


def test_totals_in_partitions_are_measured_beside_one_table_which_is_then_exported(large_site: None) -> None:
    table = scaling.totals([scaling.stored(kind, 50, 1) for kind in scaling.KINDS])
    assert [row[0] for row in table.cells()["rows"]] == list(scaling.KINDS)
    measured = [scaling.exported(form, 50) for form in scaling.FORMATS]
    assert len({each.median("totals") for each in measured}) == 1
    assert len(scaling.exports(measured).cells()["rows"]) == 2


def compared(mine: list[float], others: list[float]) -> Measured:
    case = Case("mine", Subject(lambda: 0), {"others": Subject(lambda: 0)}, at_most(2))
    samples = {name: [{"seconds": each} for each in times] for name, times in {"mine": mine, "others": others}.items()}
    return Measured(case, "others", samples)


def test_a_ratio_is_the_median_of_the_repeats_ratios() -> None:
    measured = compared([1, 2, 3, 40, 5], [1, 1, 1, 1, 10])
    assert measured.ratio == (1, 2, 3)
    assert (measured.median(), measured.median(who="others")) == (3, 1)


@pytest.mark.parametrize(("longest", "met"), [(2, True), (2.1, False)])
def test_a_limit_is_met_by_a_median_that_does_not_exceed_it(longest: float, met: bool) -> None:
    assert compared([1, longest, 3], [1, 1, 1]).limit["met"] is met


def test_a_benchmark_that_fails_fails_the_run_and_leaves_no_earlier_result(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "missing.json").write_text("{}")
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    assert main.main("missing") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missed_limit_is_reported_and_fails_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = {"what": "a call", "against": "another", "found": "2×", "limit": "1×", "met": False}

    def finished(command: Any, **options: Any) -> Any:
        (tmp_path / "calls.json").write_text(json.dumps({"limits": [limit]}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "facts", str)
    monkeypatch.setattr(main.subprocess, "run", finished)
    assert main.main("calls") == 0
    assert "not met" in capsys.readouterr().out


@pytest.mark.django_db
def test_results_hold_tables_versions_and_the_machine_but_not_its_name(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    monkeypatch.setattr(
        outages, "tables", lambda scale: [runner.Table("Title", [runner.name("a")], [compared([1], [1])])]
    )
    runner.run("outages", Scale.TINY)
    text = (tmp_path / "outages.json").read_text()
    saved = json.loads(text)
    for name in ("cores", "GiB", "python", "django", "SQLite"):
        assert f" {name}" in saved["facts"]
    assert saved["tables"] == [{"title": "Title", "columns": ["a"], "rows": [["mine"]]}]
    assert f'"{socket.gethostname()}"' not in text


def test_results_replace_their_own_block_of_the_page() -> None:
    text = "".join(f"{name}:\n<!-- results: {name} -->\nold\n<!-- end of results -->\n" for name in ("one", "two"))
    expected = text.replace("one -->\nold", "one -->\n1").replace("two -->\nold", "two -->\n2")
    assert page.filled(text, {"one": "1\n", "two": "2\n"}) == expected


def test_the_page_shows_the_results_of_every_benchmark() -> None:
    names = {found[1] for found in page.BLOCK.finditer(page.PAGE.read_text())}
    assert names == {"limits", "facts", *benchmarks.BENCHMARKS}


def test_the_page_is_not_filled_by_the_results_of_a_few_benchmarks(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    (tmp_path / "calls.json").write_text(json.dumps({"facts": "A machine"}))
    assert page.main() == 1
    assert not page.PAGE.exists()
