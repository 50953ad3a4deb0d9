"""The thread of the autopilot: responses start it, and without responses it ends."""

import atexit
import logging
import sys
import threading
from typing import Any

from django.core.signals import request_finished
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..core import test_runs
from ..core.forking import after_fork
from ..core.logs import log
from ..transport.databases import is_per_tenant
from .round import do_due_jobs

# Seconds that an exiting process waits for the end of a transaction, or of a mail.
LONGEST_END = 5.0
# Rounds after the one that the last response began. That one may have found another process at work, which had begun
# before the response; and the process may still have kept some events, to write them together with later ones.
MORE_ROUNDS = 1

UWSGI = _("uWSGI runs threads only with enable-threads = true.")


class Autopilot:
    """A thread that does the due jobs, waits for the interval, and goes on until one has passed without a response."""

    def __init__(self) -> None:
        self._start_afresh()
        after_fork(self._start_afresh)

    def wake(self, **kwargs: Any) -> None:
        """Have the due jobs done soon. Never waits, and never raises an Exception."""
        self._is_wanted = True
        if self._thread is None and conf.is_on_autopilot() and not conf.disabled:
            self._start()

    def _start_afresh(self) -> None:
        self._is_wanted = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._stopping = threading.Event()

    def _start(self) -> None:
        if self._stopping.is_set() or test_runs.in_tests() or hindrance():
            return
        if not self._starting.acquire(blocking=False):
            return  # another thread is starting it
        try:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="app_metrics-autopilot", daemon=True)
                self._thread.start()
        except RuntimeError as error:  # the interpreter is ending, or the system allows no more threads
            self._thread = None
            log(logging.WARNING, "Could not start the autopilot of app_metrics: %r", error)
        finally:
            self._starting.release()

    def _run(self) -> None:
        more = 0
        try:
            while (self._is_wanted or more) and not self._stopping.is_set():
                more = MORE_ROUNDS if self._is_wanted else more - 1
                self._is_wanted = False
                do_due_jobs(self._stopping.is_set)
                self._stopping.wait(conf.autopilot_interval())
        finally:
            self._thread = None  # also if something raised, so that a response starts another one
        if self._is_wanted:  # since the last look
            self._start()

    def stop(self) -> None:
        """End the thread after its current transaction, or after five seconds."""
        self._stopping.set()
        if (thread := self._thread) is not None:
            thread.join(LONGEST_END)


_pilot = Autopilot()


def connect() -> None:
    """Start the autopilot with the first response."""
    if _is_uwsgi_without_threads():  # where no check runs
        log(logging.WARNING, "The autopilot of app_metrics cannot run: %s Use cron instead.", UWSGI)
    request_finished.connect(_pilot.wake)
    atexit.register(_pilot.stop)


def hindrance() -> str | Promise:
    """Return why the autopilot cannot run in this process; "" if it can."""
    if not conf.is_on_autopilot():
        return _("APP_METRICS_AUTOPILOT is off.")
    if is_per_tenant():
        return _("Each tenant has its own tables, so each needs its own command.")
    return UWSGI if _is_uwsgi_without_threads() else ""


def _is_uwsgi_without_threads() -> bool:
    given = getattr(sys.modules.get("uwsgi"), "opt", None)  # a project's stand-in may have none
    if given is None:
        return False
    options = {name.decode() if isinstance(name, bytes) else name for name in given}
    return options.isdisjoint({"enable-threads", "threads"})
