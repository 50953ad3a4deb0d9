"""Show app_metrics at work: a site, a server, visitors, and the counts beside what they did.

`make demo` calls this. SERVE=0 ends after the comparison, SERVER=uvicorn takes that instead of
gunicorn, DAYS and REQUESTS change how much there is. It needs nothing but Python: the rest is
installed in .venvs/demo.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from comparison import Counts, Row, compare, growth, print_table
from environment import prepare
from server import ROOT, ServerError, log_end, manage, serve
from visitor import Expected, VisitError, visit

SERVER = os.environ.get("SERVER", "gunicorn")
DAYS = os.environ.get("DAYS", "400")
REQUESTS = int(os.environ.get("REQUESTS", "2000"))
CONCURRENCY = 8
NAME = PASSWORD = "admin"
# Counts are written after the response: the last ones may come a moment after the last answer.
SETTLE_SECONDS = 10
BAR_WIDTH = 30
METRIC_SET = "Growth"


class Site:
    """The example site with a database of its own in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.python = prepare("demo", "-e", ".[demo]")
        self.environment = {
            "EXAMPLE_DATABASE": "sqlite",
            "EXAMPLE_DB_NAME": str(folder / "db.sqlite3"),
            "EXAMPLE_FAST_HASHER": "1",
            "DJANGO_SUPERUSER_USERNAME": NAME,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DJANGO_SUPERUSER_EMAIL": "admin@example.org",
            "PYTHONUNBUFFERED": "1",
        }

    def show(self, *arguments: str) -> None:
        """Run a management command and let it print."""
        manage(self.python, self.environment, *arguments, stdout=None)

    def totals(self) -> Counts:
        printed = json.loads(manage(self.python, self.environment, "show_totals"))
        return {slug: (count, Decimal(total)) for slug, (count, total) in printed.items()}


def main() -> int:
    print("app_metrics, shown on Harbour Books, a small made-up bookshop\n")
    with private_folder() as folder:
        step(1, "Environment and database")
        site = Site(folder)
        place = folder.relative_to(ROOT)
        print(f"Packages are in .venvs/demo, the database is {place}/db.sqlite3.")
        site.show("migrate", "--verbosity=0")
        site.show("createsuperuser", "--noinput", "--verbosity=0")
        step(2, f"{DAYS} days of history (demo data)")
        site.show("seed_history", f"--days={DAYS}")
        site.show("metrics_aggregate")
        before = site.totals()
        step(3, f"{REQUESTS:,} requests to a real server ({SERVER}), {CONCURRENCY} at a time")
        with serve(SERVER, site.environment, site.log, site.python) as (address, process):
            expected = go_and_visit(site, address)
            step(4, "What was visited beside what was counted")
            site.show("metrics_aggregate")
            rows = settle(site, expected, before)
            print_table(rows)
            if not all(row.ok for row in rows):
                print("\nThe two disagree.")
                return 1
            print("\nEvery count agrees.")
            step(5, "The report that goes out by mail")
            show_report(site, address)
            if os.environ.get("SERVE", "1") != "0":
                step(6, "Look around")
                keep_serving(address, process)
    return 0


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new folder under .demo/, which git does not see; it is removed at the end."""
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
    """A progress bar on a terminal, and a line for each quarter elsewhere."""

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


def settle(site: Site, expected: Expected, before: Counts) -> list[Row]:
    """Return the comparison as soon as it agrees, or after ten seconds as it is."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        rows = compare(expected, growth(before, site.totals()))
        if all(row.ok for row in rows) or time.monotonic() > deadline:
            return rows
        time.sleep(0.2)
        site.show("metrics_aggregate")


def show_report(site: Site, address: str) -> None:
    """Print the report of the shop's metric set, and keep it as the mail's HTML."""
    site.environment["EXAMPLE_BASE_URL"] = address
    site.show("metrics_send_mail", f"--preview={METRIC_SET}")
    print("The mail itself, and its text:")
    site.show("metrics_send_mail", f"--preview={METRIC_SET}", "--output=.demo/report")


def keep_serving(address: str, process: subprocess.Popen[bytes]) -> None:
    print(f"The shop     {address}/")
    print(f"The numbers  {address}/admin/app_metrics/  (log in as {NAME}, password {PASSWORD})")
    print("Ctrl-C ends the server.", flush=True)
    try:
        process.wait()
    except KeyboardInterrupt:
        print("\nGood bye.")
    else:
        raise ServerError("The server ended by itself.")


def end_in_order(number: int, frame: object) -> None:
    # As an exception, so that the server is stopped on the way out.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, end_in_order)
    # A shell starts what it puts in the background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted.")
    except ServerError as error:
        sys.exit(f"\nThe demo failed. {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"\nThis command failed: {' '.join(error.cmd)}")
