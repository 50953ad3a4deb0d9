"""What a call costs where it stands: `metric()`, `gauge()`, `timing()` and `@track`, beside what one would use instead.

A call in a scope is measured without the beginning and the end of the scope, which has fewer entries than are folded at
once; further rows add the scope, the folding and the handing over to a backend that only keeps batches. All is timed by
`timeit`, with the garbage scope on. Threads go through many scopes in a row, for longer than the interpreter lets
one of them run, so that they get in each other's way. Afterwards all that was timed must have counted every call.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from threading import Barrier
from time import perf_counter
from timeit import Timer
from typing import Any, Protocol

from .call_cases import CASES, DATADOG, OPENTELEMETRY, OURS, PROMETHEUS, THREADS, Call, Case, namespace
from .measuring import FULL, Result, alternate, compare, expect, held, save, site, verdict
from .peers import OpenTelemetry, Prometheus, datadog
from .tables import Table

REPEATS = 101 if FULL else 31
# Many rounds take as much longer, and vary less.
FEWER = 4
# Who is asked what was counted.
ASKED = (OURS, PROMETHEUS, OPENTELEMETRY, DATADOG)

# What a scope is entered with.
Scope = Callable[[], AbstractContextManager[Any]]


class Counting(Protocol):
    def holds(self, name: str) -> float:
        """Return how many calls were counted under a name so far."""


def main() -> int:
    with site(), datadog() as dogstatsd:
        from django.test import override_settings

        from .keeping import PATH, Ours

        prometheus, opentelemetry = Prometheus(), OpenTelemetry()
        asked = dict(zip(ASKED, (Ours(), prometheus, opentelemetry, dogstatsd), strict=True))
        names = namespace(prometheus, opentelemetry, dogstatsd)
        with override_settings(APP_METRICS_BACKEND=PATH):
            results = {case.name: run(case, names, asked) for case in CASES}
    table, limits = tabulated(results), list(judged(results))
    print(table.text())
    save("calls", tables=[table], limits=limits, repeats=REPEATS, results=results)
    return 0


def run(case: Case, names: Mapping[str, Any], asked: Mapping[str, Counting]) -> dict[str, Result]:
    """Measure a case; return what it is beside each reference, in seconds a call.

    Raises AssertionError where somebody did not count every call, or counted where nobody should.
    """
    from django.test import override_settings

    from app_metrics import collect

    calls = {OURS: case.ours, **case.references}
    before = {who: asker(who, asked).holds(call.name) for who, call in calls.items()}
    scopes: dict[str, Scope] = {who: collect if who == OURS and case.scoped else nullcontext for who in calls}
    with override_settings(APP_METRICS_DISABLED=case.disabled), ThreadPoolExecutor(case.threads) as pool:
        subjects = {who: partial(timed, call, case, names, scopes[who], pool) for who, call in calls.items()}
        times = alternate(subjects, repeats(case))
    for who, call in calls.items():
        made = 0 if case.disabled else call.calls * case.runs * case.rounds * case.threads * (repeats(case) + 1)
        expect(f"{who}, {case.name}", asker(who, asked).holds(call.name) - before[who], made)
    return {who: compare(times[OURS], times[who]) for who in case.references}


def repeats(case: Case) -> int:
    return REPEATS if case.rounds == 1 else max(2, REPEATS // FEWER)


def asker(who: str, asked: Mapping[str, Counting]) -> Counting:
    """Return whom to ask what was counted: `prometheus_client Summary` is prometheus_client."""
    return next((counting for name, counting in asked.items() if who.startswith(name)), asked[OPENTELEMETRY])


def timed(call: Call, case: Case, names: Mapping[str, Any], scope: Scope, pool: ThreadPoolExecutor) -> float:
    """Return the seconds of a call: from the first thread's beginning to the last one's end, shared by all calls."""
    together = Barrier(case.threads)

    def in_thread(_: int) -> tuple[float, float]:
        timer = Timer(call.statement, "import gc; gc.enable()", globals=dict(names))
        with ExitStack() as scopes:
            together.wait()
            begin = perf_counter()
            for _ in range(case.rounds):
                scopes.enter_context(scope())
                timer.timeit(case.runs)
            end = perf_counter()
            # What scopes do at their end is not in anybody's time; that their entries stay until then is in ours.
            together.wait()
        return begin, end

    begins, ends = zip(*pool.map(in_thread, range(case.threads)), strict=True)
    return (max(ends) - min(begins)) / (call.calls * case.runs * case.rounds * case.threads)


def tabulated(results: Mapping[str, Mapping[str, Result]]) -> Table:
    limits = {case.name: case.limits for case in CASES}
    rows = []
    for name, result in results.items():
        for who, each in result.items():
            limit = limits[name].get(who)
            judgement = f"{limit:g}× {verdict(held(name, who, each, limit))}" if limit else ""
            spread = f"{each['ratio_from']:.2f}–{each['ratio_to']:.2f}"
            times = [f"{each[key] * 1e9:.0f}" for key in ("seconds", "reference_seconds")]
            rows.append([name, times[0], who, times[1], f"{each['ratio']:.2f}×", spread, judgement])
    columns = ["call", "ns", "beside", "ns", "ratio", "spread", "at most"]
    title = f"A call in a scope, median of {REPEATS}, of {REPEATS // FEWER} with {THREADS} threads where so named"
    return Table(title, columns, rows)


def judged(results: Mapping[str, Mapping[str, Result]]) -> Iterable[Result]:
    for case in CASES:
        for who, limit in case.limits.items():
            yield held(case.name, f"{who} {case.references[who].statement}", results[case.name][who], limit)


if __name__ == "__main__":
    sys.exit(main())
