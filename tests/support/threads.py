"""Work that is done by other threads, whose connections are closed when they end."""

import threading
from concurrent.futures import ThreadPoolExecutor

from django.db import connections


def at_once(number, work):
    """Let so many threads begin the same work at the same moment; return what each returned, or raise what one did."""
    together = threading.Barrier(number)

    def one(_):
        try:
            together.wait(120)
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def while_another(work):
    """Yield at least once while another thread works, or right after it; raise what it raised."""

    def one():
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(one)
        while True:
            yield
            if working.done():
                break
        working.result()
