"""What the measurements share: subjects timed in turn, what a ratio is, and where the results go.

A figure is a ratio within one run: subject and reference are timed alternately, each repeat gives a ratio, and what is
shown is the median of those with the bounds between which the middle half of them lies.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from freezegun import api as freezegun

from .facts import machine, versions
from .tables import Table

RESULTS = Path(__file__).parent / "results"

# At scale instead of in a few minutes: FULL=1 in the environment.
FULL = os.environ.get("FULL") == "1"

Subject = Callable[[], Any]
Result = dict[str, Any]
# Seconds, or several of them.
Took = TypeVar("Took")


@contextmanager
def site(settings: str = "tests.settings") -> Iterator[None]:
    """Have Django with a migrated site on a SQLite file of its own, for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["APP_METRICS_TEST_DIRECTORY"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = settings
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield


def measure(subject: Subject, reference: Subject, repeats: int) -> Result:
    """Time a subject and its reference alternately, after one run of each that does not count.

    Return seconds, ratios and the SQL statements of the subject's first run.
    """
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        subject()
    statements = [query["sql"] for query in queries]  # now: the next request empties the log
    reference()
    times = in_turn({"subject": partial(clock, subject), "reference": partial(clock, reference)}, repeats)
    return {
        **compare(times["subject"], times["reference"]),
        "statements": len(statements),
        "own_statements": sum("app_metrics_" in sql for sql in statements),
    }


def alternate(subjects: Mapping[str, Callable[[], Took]], repeats: int) -> dict[str, list[Took]]:
    """Return what subjects say they took, timed in turn, after one run of each that does not count."""
    in_turn(subjects, 1)
    return in_turn(subjects, repeats)


def in_turn(subjects: Mapping[str, Callable[[], Took]], repeats: int) -> dict[str, list[Took]]:
    times: dict[str, list[Took]] = {name: [] for name in subjects}
    for _ in range(repeats):
        for name, timed in subjects.items():
            times[name].append(timed())
    return times


def compare(mine: Sequence[float], others: Sequence[float]) -> Result:
    """Return medians, ratios and spreads of alternately measured seconds, two repeats or more."""
    seconds, ratios = middle(mine), middle([one / other for one, other in zip(mine, others, strict=True)])
    return {
        "seconds": seconds[1],
        "seconds_from": seconds[0],
        "seconds_to": seconds[2],
        "reference_seconds": statistics.median(others),
        "ratio": ratios[1],
        "ratio_from": ratios[0],
        "ratio_to": ratios[2],
    }


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower bound of the middle half of two values or more, their median, and the upper bound."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


def clock(subject: Subject) -> float:
    """Return the seconds that a call takes, also where freezegun has stopped the others' clocks."""
    begin = freezegun.real_perf_counter()
    subject()
    return freezegun.real_perf_counter() - begin


def expect(what: str, found: Any, expected: Any) -> None:
    """Raise AssertionError where a subject or a reference did not do what was timed."""
    if found != expected:
        raise AssertionError(f"{what}: {found} instead of {expected}, so what was measured did not work.")


def ratio_text(result: Result) -> str:
    """Return a ratio with its spread: `0.83× (0.80–0.86)`."""
    return f"{result['ratio']:.2f}× ({result['ratio_from']:.2f}–{result['ratio_to']:.2f})"


def held(what: str, against: str, result: Result, limit: float) -> Result:
    """Return one of the numbers to hold: a ratio, beside the limit it must not exceed."""
    found = ratio_text(result)
    return {"what": what, "against": against, "found": found, "limit": f"{limit:g}×", "met": result["ratio"] <= limit}


def verdict(limit: Result) -> str:
    return "met" if limit["met"] else "not met"


def save(name: str, *, tables: Sequence[Table] = (), limits: Sequence[Result] = (), **results: Any) -> None:
    """Write results as JSON, with the versions and the machine that they were had with.

    `tables` are what docs/performance.md shows, and `limits` what `held` returned.
    """
    facts = {"date": datetime.now(UTC).date().isoformat(), "full": FULL, "versions": versions(), "machine": machine()}
    shown = {"tables": [table._asdict() for table in tables], "limits": list(limits)}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({**facts, **shown, **results}, indent=2, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n")
