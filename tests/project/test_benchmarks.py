"""A benchmark tells the truth or fails: nobody is timed who did not do the work."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import (
    aggregation,
    calls,
    document,
    keeping,
    load,
    measuring,
    middleware,
    server,
    serving,
    variants,
    writing,
)
from benchmarks.call_cases import OURS, PLAIN, PROMETHEUS, Call, Case, namespace
from benchmarks.peers import OpenTelemetry, Prometheus, datadog
from benchmarks.tables import Table

pytestmark = pytest.mark.slow

RIGHT = Call('metric("signups")', "signups")


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(calls, "REPEATS", 2)
    settings.APP_METRICS_BACKEND = keeping.PATH


@pytest.fixture
def world() -> Iterator[tuple[Any, Any]]:
    """The names that statements use, and those to ask what was counted."""
    prometheus, opentelemetry = Prometheus(), OpenTelemetry()
    with datadog() as dogstatsd:
        asked = dict(zip(calls.ASKED, (keeping.Ours(), prometheus, opentelemetry, dogstatsd), strict=True))
        yield namespace(prometheus, opentelemetry, dogstatsd), asked


def test_calls_that_count_are_compared_with_every_peer(world: Any) -> None:
    result = calls.run(Case("right", RIGHT, PLAIN, runs=10, threads=2), *world)
    assert result.keys() == PLAIN.keys()
    assert all(each["ratio"] > 0 for each in result.values())


@pytest.mark.parametrize("who", [OURS, *PLAIN])
def test_a_call_that_counts_nothing_makes_the_benchmark_fail(world: Any, who: str) -> None:
    broken = {OURS: RIGHT, **PLAIN}
    broken[who] = broken[who]._replace(statement="pass")
    case = Case("broken", broken.pop(OURS), broken, runs=10)
    with pytest.raises(AssertionError, match=f"{who}, broken: 0.* instead of 30"):
        calls.run(case, *world)


def test_a_call_that_counts_while_disabled_makes_the_benchmark_fail(world: Any) -> None:
    case = Case("disabled", RIGHT, {PROMETHEUS: PLAIN[PROMETHEUS]}, runs=10, disabled=True)
    with pytest.raises(AssertionError, match=r"prometheus_client, disabled: 30.* instead of 0"):
        calls.run(case, *world)


def test_a_benchmark_that_fails_fails_the_run_and_leaves_no_earlier_result(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "missing.json").write_text("{}")
    monkeypatch.setattr(benchmarks, "RESULTS", tmp_path)
    assert benchmarks.main("missing") == 1
    assert list(tmp_path.iterdir()) == []


def test_every_named_benchmark_can_be_run() -> None:
    assert [name for name in benchmarks.BENCHMARKS if not (measuring.RESULTS.parent / f"{name}.py").exists()] == []


def test_a_ratio_is_the_median_of_the_repeats_ratios() -> None:
    result = measuring.compare([1, 2, 3, 40, 5], [1, 1, 1, 1, 10])
    assert (result["ratio_from"], result["ratio"], result["ratio_to"]) == (1, 2, 3)
    assert (result["seconds"], result["reference_seconds"]) == (3, 1)


@pytest.mark.parametrize(("limit", "said"), [(2, "met"), (1.9, "not met")])
def test_a_limit_is_met_by_a_median_that_does_not_exceed_it(limit: float, said: str) -> None:
    found = measuring.held("what", "against", measuring.compare([1, 2, 3], [1, 1, 1]), limit)
    assert measuring.verdict(found) == said


def test_results_name_versions_and_machine_but_not_its_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    measuring.save("one", tables=[Table("Title", ["what", "ns"], [["call", "1"]])], results={})
    text = (tmp_path / "one.json").read_text()
    saved = json.loads(text)
    assert {"python", "django", "SQLite"} <= saved["versions"].keys()
    assert {"processor", "cores", "memory_gib"} <= saved["machine"].keys()
    assert f'"{socket.gethostname()}"' not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (middleware.JUDGED, "django-app-metrics: {} instead of"),
        (middleware.REFERENCE, "django-prometheus: 0 instead of 3"),
        (middleware.BY_OPENTELEMETRY, "OpenTelemetry: 0 instead of 3"),
    ],
)
def test_requests_that_nobody_counted_make_the_benchmark_fail(name: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        middleware.check({("WSGI", name): 3}, OpenTelemetry())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("server", serving.SERVERS)
def test_a_page_that_says_something_else_makes_the_benchmark_fail(settings: Any, server: str) -> None:
    settings.ROOT_URLCONF = "tests.support.request_urls"
    with pytest.raises(AssertionError, match="The page says b'quiet'"):
        serving.SERVERS[server](serving.handlers([])[server], "/quiet/", 1)


@pytest.mark.parametrize(("answered", "counted", "counts"), [(3, 0, True), (3, 2, True), (3, 100, True), (3, 3, False)])
def test_a_server_that_counts_wrongly_makes_the_benchmark_fail(answered: int, counted: int, counts: bool) -> None:
    subject = variants.Subject({}, lambda: counted, counts)
    with pytest.raises(load.Broken, match=f"db counted {counted} requests where {answered} were answered"):
        server.check("db", subject, [{"answered": answered}])


@pytest.mark.parametrize(
    ("found", "said"), [({}, "None instead of 1"), ({"a": 2}, "2 inst"), ({"a": 1, "b": 1}, "1 inst")]
)
def test_totals_that_are_not_what_was_put_in_make_the_benchmark_fail(found: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        aggregation.check("sqlite", found, {"a": 1})


@pytest.mark.django_db
def test_events_that_a_writer_lost_make_the_benchmark_fail() -> None:
    with pytest.raises(AssertionError, match="default, 2026-11-23: 0 instead of 3"):
        aggregation.check_events("default", writing.DAY, writing.EVENTS)


def test_results_replace_their_own_block_of_the_page() -> None:
    page = "".join(f"{name}:\n<!-- results: {name} -->\nold\n<!-- end of results -->\n" for name in ("one", "two"))
    expected = page.replace("one -->\nold", "one -->\n1").replace("two -->\nold", "two -->\n2")
    assert document.filled(page, {"one": "1\n", "two": "2\n"}) == expected


def test_the_page_shows_the_results_of_every_benchmark() -> None:
    names = {found[1] for found in document.BLOCK.finditer(document.PAGE.read_text())}
    assert names == {"limits", "facts", *benchmarks.BENCHMARKS}


def test_the_page_is_not_filled_by_the_results_of_a_few_benchmarks(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "RESULTS", tmp_path)
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    monkeypatch.setattr(document, "PAGE", tmp_path / "page.md")
    measuring.save("calls")
    assert document.main() == 1
    assert not document.PAGE.exists()
