"""Faults of visitors: they leave while their request is answered, or are still there when the server stops."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from tests.soak.faults.cell import Cell
from tests.soak.faults.checker import Verdict
from tests.soak.faults.networks import wait_until

SITE = "tests.soak.faults.asgi"
# A synchronous middleware within ours makes Django run ours in a thread, too.
PAGES = {
    "options": {
        "ROOT_URLCONF": SITE,
        "MIDDLEWARE": ["app_metrics.middleware.MetricsMiddleware", f"{SITE}.lingers"],
    }
}
VISITORS = 8
# Seconds at most that a visitor waits; an answer takes up to 0.04.
LONGEST_VISIT = 0.05


def visitors_leave(cell: Cell) -> Verdict:
    """Let the visitors of an ASGI server leave at any moment of their requests."""
    with served(cell, patience=60) as (path, journal):
        deadline = time.monotonic() + cell.seconds
        while time.monotonic() < deadline or not size(journal):
            with ExitStack() as visitors:
                for _ in range(VISITORS):
                    visitors.enter_context(visitor(path, "/"))
                time.sleep(cell.random.uniform(0, LONGEST_VISIT))
            cell.tally["visitors who left"] += VISITORS
    return cell.verdict()


def streams_at_stop(cell: Cell) -> Verdict:
    """Stop an ASGI server in an orderly way while it sends streams."""
    deadline = time.monotonic() + cell.seconds
    while time.monotonic() < deadline or not cell.tally["streams at a stop"]:
        with ExitStack() as visitors, served(cell, patience=1) as (path, journal):
            for _ in range(VISITORS):
                visitors.enter_context(visitor(path, "/stream/"))
            wait_until(lambda: size(journal), "no stream began")
            time.sleep(cell.random.uniform(0, cell.seconds))
        cell.tally["streams at a stop"] += VISITORS
    return cell.verdict()


@contextmanager
def served(cell: Cell, *, patience: int) -> Iterator[tuple[str, Path]]:
    """Yield the socket of an ASGI server and its journal; then stop it, for which it may take so many seconds."""
    path, journal = str(cell.directory / f"asgi-{len(cell.journals)}"), cell.journal()
    server = cell.start("serve_asgi", PAGES, path=path, journal=journal, patience=patience)
    wait_until(lambda: is_listening(path), "the server did not start")
    yield path, Path(journal)
    os.kill(server.pid, signal.SIGTERM)
    server.result()


def is_listening(path: str) -> bool:
    with suppress(OSError), visitor(path, "/nowhere/"):
        return True
    return False


@contextmanager
def visitor(path: str, page: str) -> Iterator[None]:
    """Ask for a page, and leave at the end of the block without reading the answer."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(f"GET {page} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield


def size(journal: Path) -> int:
    return journal.stat().st_size if journal.exists() else 0
