"""How all benchmarks measure: cases run in turn, must have counted all their work, and become rows of a table.

A result is a ratio within one run: a subject and its references run alternately, and each repeat gives a ratio. Tables
show the median of the ratios and the bounds of their middle half.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from functools import cached_property
from importlib import import_module
from random import Random
from typing import Any, NamedTuple

from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from freezegun import api as freezegun

from tests.support import services

from . import RESULTS
from .machine import facts
from .page import text, verdict


class Scale(IntEnum):
    """How much a run measures. TINY only tests the benchmarks; its times are meaningless."""

    TINY, SHORT, FULL = range(3)

    def of(self, tiny, short, full):
        return (tiny, short, full)[self]


class Subject(NamedTuple):
    """Work to measure: `run` returns its seconds, or several named numbers.

    `check` gets the number of runs, and raises AssertionError unless they did all their work.
    """

    run: Callable
    check: Callable = lambda runs: None


def counting(name, run, counted, each):
    """Return a subject of which each run must add `each` to the number that `counted` returns."""
    before = counted()
    return Subject(run, lambda runs: expect(f"what {name} counted", counted() - before, each * runs))


class Limit(NamedTuple):
    """A limit: its text, and functions of `Measured` that return the measured value and whether that meets it.

    It applies beside one reference, by default the first.
    """

    text: str
    found: Callable
    met: Callable
    what: str = ""
    against: str = ""
    reference: str = ""


def at_most(ratio, **options):
    """Limit the median ratio to the reference."""
    return Limit(f"{ratio:g}×", ratio_text, lambda each: each.ratio[1] <= ratio, **options)


def ratio_text(measured, form="{:.2f}", sign="×"):
    return f"{form.format(measured.ratio[1])}{sign} ({span(measured.ratio, form)})"


class Case(NamedTuple):
    """One subject beside its references.

    `key` is the number that ratios compare. `less` maps a subject or reference to the one whose numbers are subtracted
    from its own in each repeat.
    """

    name: str
    subject: Subject
    references: Mapping[str, Subject] = {}
    limit: Limit | None = None
    key: str = "seconds"
    less: Mapping[str, str] = {}
    facts: Mapping[str, Any] = {}


class Measured:
    """The repeats of a case beside one of its references; "" means none."""

    def __init__(self, case, reference, samples):
        self.case, self.reference, self._samples = case, reference, samples

    def values(self, key="seconds", who=""):
        """Return the number of each repeat, for the subject unless a reference is named."""
        who = who or self.case.name
        values = [sample[key] for sample in self._samples[who]]
        if who not in self.case.less:
            return values
        return [one - plain[key] for one, plain in zip(values, self._samples[self.case.less[who]], strict=True)]

    def median(self, key="seconds", who=""):
        return statistics.median(self.values(key, who))

    @cached_property
    def ratio(self):
        """The ratio to the reference between its bounds.

        A single difference may be zero, so for differences this is the ratio of their medians; NaN if the reference
        adds nothing measurable.
        """
        mine, others = self.values(self.case.key), self.values(self.case.key, self.reference)
        if not self.case.less:
            return middle([one / other for one, other in zip(mine, others, strict=True)])
        (low, median, high), (least, reference, most) = middle(mine), middle(others)
        if least <= 0:
            return (math.nan,) * 3
        return min(low / least, low / most), median / reference, max(high / least, high / most)

    @property
    def limit(self):
        """What was found beside the limit that applies to this reference; None if none does."""
        limit = self.case.limit
        if limit is None or self.reference != (limit.reference or next(iter(self.case.references), "")):
            return None
        what, against = limit.what or self.case.name, limit.against or self.reference or "-"
        met = bool(limit.met(self))
        return {"what": what, "against": against, "found": limit.found(self), "limit": limit.text, "met": met}


def middle(values):
    """Return the median between the bounds of the middle half; with fewer than four values, between the extremes."""
    if len(values) < 4:
        return min(values), statistics.median(values), max(values)
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def measure(cases, repeats, *, beside=None, warm=1):
    """Run cases, their references and the subjects `beside` them in turn, check them, and return the results.

    Each round has its own order, so that the after-effects of one subject do not always hit the same other one. The
    first `warm` rounds are not measured, but checks count them.
    """
    subjects = dict(beside or {})
    for case in cases:
        subjects |= {case.name: case.subject, **case.references}
    samples = {name: [] for name in subjects}
    random = Random(1)
    for _ in range(warm + repeats):
        for name in random.sample(list(subjects), len(subjects)):
            found = subjects[name].run()
            samples[name].append(found if isinstance(found, Mapping) else {"seconds": found})
    for subject in subjects.values():
        subject.check(warm + repeats)
    kept = {name: each[warm:] for name, each in samples.items()}
    return [Measured(case, reference, kept) for case in cases for reference in case.references or [""]]


class Table(NamedTuple):
    """Measured cases as rows; `judged`, by default the same cases, are checked against their limits.

    A column is its title, and a function that returns the text of a cell.
    """

    title: str
    columns: Sequence[tuple[str, Callable]]
    measured: Sequence[Measured]
    judged: Sequence[Measured] | None = None

    def cells(self):
        rows = [[cell(each) for _, cell in self.columns] for each in self.measured]
        return {"title": self.title, "columns": [title for title, _ in self.columns], "rows": rows}

    def limits(self):
        return [each.limit for each in self.judged or self.measured if each.limit]


# By the unit at the end of a column's title: what numbers are multiplied by, and their decimal places.
UNITS = {"ns": (1e9, 0), "µs": (1e6, 0), "ms": (1e3, 1), "s": (1, 2), "seconds": (1, 2), "KiB": (1 / 1024, 1)}


def name(title=""):
    return title, lambda measured: measured.case.name


def fact(title, key="", text="{}"):
    return title, lambda measured: text.format(measured.case.facts.get(key or title, ""))


def number(title, key="seconds", *, who=lambda measured: "", digits=None):
    factor, places = UNITS.get(title.split()[-1], (1, 0))
    form = f"{{:,.{places if digits is None else digits}f}}"
    return title, lambda measured: form.format(measured.median(key, who(measured)) * factor)


def spread(unit="", key="seconds"):
    factor, places = UNITS.get(unit, (1, 0))
    return "spread", lambda each: span([value * factor for value in middle(each.values(key))], f"{{:.{places}f}}")


def span(bounds, form):
    return f"{form.format(bounds[0])}–{form.format(bounds[2])}"


def reference(title):
    return title, compared(number(title, who=lambda measured: measured.reference)[1])


def ratio(form="{:.2f}", sign="×", title="ratio"):
    one = compared(lambda each: form.format(each.ratio[1]) + sign)
    return [(title, one), ("spread", compared(lambda each: span(each.ratio, form)))]


def compared(cell):
    """Leave the cell empty for a case without a reference."""
    return lambda measured: cell(measured) if measured.reference else ""


AT_MOST = "at most", lambda each: f"{each.limit['limit']} {verdict(each.limit)}" if each.limit else ""


@contextmanager
def database(kind):
    """Create a test database, point the whole site to it, and yield its alias."""
    alias = "default" if kind == "sqlite" else kind
    connections[alias].creation.create_test_db(verbosity=0, autoclobber=True)
    with override_settings(APP_METRICS_DATABASE=alias, TEST_SITE_DATABASE=alias):
        yield alias


def available(*servers):
    """Return the servers that run, and print why the others do not."""
    for server in services.missing.keys() & set(servers):
        print(f"{server}: not measured, {services.missing[server]}")
    return [server for server in servers if server not in services.missing]


def clock(subject, *arguments):
    """Return the seconds of a call, even while freezegun has stopped the clocks."""
    begin = freezegun.real_perf_counter()
    subject(*arguments)
    return freezegun.real_perf_counter() - begin


def statements(subject, alias="default"):
    with CaptureQueriesContext(connections[alias]) as queries:
        subject()
    return [query["sql"] for query in queries]


def expect(what, found, expected):
    """Raise AssertionError if a subject or a reference did not do its work."""
    if found != expected:
        raise AssertionError(f"{what}: {found} instead of {expected}, so what was measured did not work.")


def run(benchmark, scale):
    """Run a benchmark, print its tables, and write them with the facts that they depend on as JSON."""
    tables, limits = [], []
    for table in import_module(f"benchmarks.{benchmark}").tables(scale):
        tables.append(table.cells())
        limits += table.limits()
        print(text(**tables[-1]), flush=True)
    date = datetime.now(UTC).date().isoformat()
    results = {"date": date, "scale": scale.name, "facts": facts(), "tables": tables, "limits": limits}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
