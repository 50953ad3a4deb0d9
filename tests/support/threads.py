"""Run work in other threads, and close their connections at the end."""

import threading
from concurrent.futures import ThreadPoolExecutor

from django.db import connections


def at_once(number, work):
    """Start the same work in this many threads at the same moment; return all results, or raise the first error."""
    together = threading.Barrier(number)

    def one(_):
        try:
            together.wait(120)
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def in_thread(work):
    """Do some work in another thread, and return its result or raise its error."""
    return at_once(1, work)[0]


def while_another(work):
    """Yield repeatedly while another thread works, at least once; raise its exception, if any."""

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
