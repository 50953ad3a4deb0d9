"""Demonstrate app_metrics: run a site, a server and visitors, and compare what it counts with what they did, and
what it shows with the site's own tables.

`make demo` calls this. SERVE=0 stops the server at the end, SERVER=uvicorn replaces gunicorn, DAYS and
REQUESTS set the amount of data. It needs only Python; it installs the rest in .venvs/demo.
docs/scaling.md lists the variables that select another backend; with Celery, a worker also runs.
"""

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import environment  # first: it refuses a Python that cannot read the others
from comparison import RATIOS, Counts, Ratios, Row, compare, compare_ratios, growth, print_table
from figures import BACKFILL, DASHBOARD, compare_figures, dashboard_paths, days, print_figures
from server import ROOT, ServerError, create_database, log_end, manage, serve, work
from visitor import KEEPER, Expected, VisitError, read_pages, visit

SERVER = os.environ.get("SERVER", "gunicorn")
DAYS = os.environ.get("DAYS", "400")
REQUESTS = int(os.environ.get("REQUESTS", "2000"))
CONCURRENCY = 8
# Counts arrive after the response, perhaps from a worker. After this long without a new one, all have arrived.
SETTLE_SECONDS = 10
BAR_WIDTH = 30
METRIC_SET = "Growth"

SHOWN_METRIC = "orders"
PAGES = ("health/", "unused/", f"metric/{SHOWN_METRIC}/", "ratio/conversion/")
CHART = f"{DASHBOARD}metric/{SHOWN_METRIC}/?range=2d&period=day&format=json"
COUNTED_TODAY = f"""
from app_metrics.models import Metric
print(Metric.objects.get(slug={SHOWN_METRIC!r}).total("day"))
"""


class Site:
    """The example site with its own database, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.python = environment.prepare("demo", "-e", ".[demo]")
        self.environment = {
            "EXAMPLE_DATABASE": "sqlite",
            "EXAMPLE_DB_NAME": str(folder / "db.sqlite3"),
            "EXAMPLE_FAST_HASHER": "1",
            "EXAMPLE_ACCESS_LOG": "1",
            # The figures are read from English texts.
            "EXAMPLE_LANGUAGE": "en-gb",
            "PYTHONUNBUFFERED": "1",
        }

    def show(self, *arguments: str) -> None:
        """Run a management command, and let it print."""
        manage(self.python, self.environment, *arguments, stdout=None)

    def fill(self, *arguments: str) -> None:
        """Run a command that records, directly to the database: a broker might deliver its events during the visits."""
        manage(self.python, {**self.environment, "EXAMPLE_METRICS_BACKEND": "db"}, *arguments, stdout=None)

    def worker(self) -> contextlib.AbstractContextManager[object]:
        if os.environ.get("EXAMPLE_METRICS_BACKEND") != "celery":
            return contextlib.nullcontext()
        return work(self.environment, self.folder / "worker.log", self.python)

    def totals(self) -> Counts:
        printed = json.loads(manage(self.python, self.environment, "show_totals"))
        return {slug: (count, Decimal(total)) for slug, (count, total) in printed.items()}

    def ratios(self) -> Ratios:
        read: Ratios = json.loads(manage(self.python, self.environment, "show_ratios", *RATIOS))
        return read

    def figures(self) -> dict[str, Any]:
        printed: dict[str, Any] = json.loads(manage(self.python, self.environment, "show_figures"))
        return printed


def main() -> int:
    print("app_metrics, shown on Harbour Books, a small made-up bookshop\n")
    with private_folder() as folder:
        step(1, "Environment and database")
        site = Site(folder)
        place = folder.relative_to(ROOT)
        print(f"Packages are in .venvs/demo, the database is {place}/db.sqlite3.")
        create_database(site.python, site.environment, KEEPER)
        step(2, f"{DAYS} days of history (demo data)")
        site.fill("seed_history", f"--days={DAYS}")
        site.show("metrics_aggregate")
        site.fill(*BACKFILL)
        before, ratios = site.totals(), site.ratios()
        step(3, f"{REQUESTS:,} requests to a real server ({SERVER}), {CONCURRENCY} at a time")
        with site.worker(), serve(SERVER, site.environment, site.log, site.python) as (address, process):
            expected = go_and_visit(site, address)
            step(4, "What was visited beside what was counted")
            site.show("metrics_aggregate")
            rows = settle(site, expected, before, ratios)
            print_table(rows)
            if not all(row.ok for row in rows):
                print("\nThe two disagree.")
                return 1
            print("\nEvery count agrees.")
            step(5, "What the terminal, the mail and the dashboard show, beside the site's own tables")
            read, pages = read_figures(site, address)
            print("\n".join(printed["day"] for printed in read["terminal"].values()))
            figures = compare_figures(read, pages)
            print_figures(figures)
            if not all(row.ok for row in figures):
                print("\nA figure differs from the one of the site's own tables.")
                return 1
            print("\nEvery figure agrees.")
            step(6, "The report that goes out by mail")
            print(read["mail"].strip())
            print("The mail itself, and its text:")
            site.show("metrics_send_mail", f"--preview={METRIC_SET}", "--output=.demo/report")
            step(7, "Look at the dashboard")
            check_dashboard(site, address, pages)
            if os.environ.get("SERVE", "1") != "0":
                keep_serving(address, process)
            else:
                print("               With SERVE=0 the server has stopped now; without it, it keeps serving.")
    return 0


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new folder under .demo/, which git ignores; remove it at the end."""
    parent = ROOT / ".demo"
    parent.mkdir(exist_ok=True)
    (parent / ".gitignore").write_text("*\n")
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def step(number: int, title: str) -> None:
    print(f"\n{number}. {title}", flush=True)


def go_and_visit(site: Site, address: str) -> Expected:
    begin = time.monotonic()
    try:
        expected = visit(address, REQUESTS, CONCURRENCY, Bar(REQUESTS).show)
    except VisitError as error:
        raise ServerError(f"{error}\n{log_end(site.log)}") from error
    seconds = time.monotonic() - begin
    print(f"{REQUESTS:,} requests in {seconds:.1f} s: {REQUESTS / seconds:.0f} a second.")
    return expected


class Bar:
    """A progress bar on a terminal, and a line per quarter elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._terminal = sys.stderr.isatty()

    def show(self, done: int) -> None:
        if self._terminal:
            filled = BAR_WIDTH * done // self._total
            end = "\n" if done == self._total else ""
            bar = f"[{'#' * filled:<{BAR_WIDTH}}] {done:>{len(str(self._total))}}"
            print(f"\r{bar} of {self._total} requests", end=end, file=sys.stderr, flush=True)
        elif done * 4 // self._total > (done - 1) * 4 // self._total:
            print(f"  {done:,} of {self._total:,} requests", flush=True)


def settle(site: Site, expected: Expected, before: Counts, ratios: Ratios) -> list[Row]:
    """Return the comparison as soon as it matches, or the latest after ten seconds without a change."""
    rows: list[Row] = []
    deadline = math.inf
    while True:
        latest = [*compare(expected, growth(before, site.totals())), *compare_ratios(expected, ratios, site.ratios())]
        if latest != rows:
            rows, deadline = latest, time.monotonic() + SETTLE_SECONDS
        if all(row.ok for row in rows) or time.monotonic() > deadline:
            return rows
        time.sleep(0.2)
        site.show("metrics_aggregate")


def read_figures(site: Site, address: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what `show_figures` prints, and the pages of the dashboard; all of the same day."""
    site.environment["EXAMPLE_BASE_URL"] = address
    while True:
        try:
            pages = read_pages(address, [*dashboard_paths(), *(f"{DASHBOARD}{page}" for page in PAGES), CHART])
        except VisitError as error:
            raise ServerError(f"{error}\n{log_end(site.log)}") from error
        read = site.figures()
        if len(days(read, pages)) == 1:
            return read, pages


def check_dashboard(site: Site, address: str, pages: Mapping[str, str]) -> None:
    """Check that the dashboard shows what was counted, and say where it is."""
    columns = json.loads(pages[CHART])["columns"]
    shown = next(column["numbers"] for column in columns if column["role"] == "now")
    counted = Decimal(manage(site.python, site.environment, "shell", "-c", COUNTED_TODAY).split()[-1])
    if Decimal(shown[-1] or 0) != counted:
        raise ServerError(f"The dashboard shows {shown[-1]} {SHOWN_METRIC} of today, but {counted} were counted.")
    print(f"The dashboard  {address}{DASHBOARD}  (log in as {KEEPER.name}, password {KEEPER.password})")
    print(
        f"               It opens, and shows what was counted: "
        f"{counted.normalize():f} {SHOWN_METRIC} today, {shown[-2]} yesterday."
    )


def keep_serving(address: str, process: subprocess.Popen[bytes]) -> None:
    print(f"The shop       {address}/")
    print("Ctrl-C ends the server.", flush=True)
    try:
        process.wait()
    except KeyboardInterrupt:
        print("\nGood bye.")
    else:
        raise ServerError("The server ended by itself.")


def end_in_order(number: int, frame: object) -> None:
    # Raise an exception, so that the server is stopped on the way out.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, end_in_order)
    # What the commands print has characters that not every terminal can show.
    sys.stdout.reconfigure(errors="replace")
    # A shell makes background processes ignore SIGINT; restore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted.")
    except ServerError as error:
        sys.exit(f"\nThe demo failed. {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"\nThis command failed: {' '.join(error.cmd)}")
