"""An autopilot whose process is killed in the middle of a round: at any statement, commit or change of a file.

As a middleware, it has the autopilots of a real server wait for the orders of a test in the folder that ORDERS names.
"""

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

from django.utils.decorators import sync_and_async_middleware

from app_metrics.autopilot import pilot
from app_metrics.autopilot.round import do_due_jobs
from tests.soak.faults.crash import Trap, die
from tests.support.rounds_log import Log
from tests.support.servers import runs
from tests.support.waiting import wait_until

# More steps than a round takes, so that some rounds are survived.
MOST_STEPS = 60
ADDS_TOTALS = re.compile(r"INSERT INTO \W?app_metrics_total\b")


class RoundTrap(Trap):
    """Counts the steps of a round, without those of requests, which other threads take."""

    def __init__(self, at, log):
        super().__init__(at, self._note_and_die)
        self._log, self._thread = log, threading.get_ident()
        self.adding = 0  # the number of the step that adds to totals

    def step(self):
        if threading.get_ident() == self._thread:
            super().step()

    def _around_statement(self, execute, sql, *arguments):
        if ADDS_TOTALS.search(sql):
            self.adding = self.steps + 1
        return super()._around_statement(execute, sql, *arguments)

    def _note_and_die(self):
        self._log.note("killed", os.getpid())
        die()


def do_due_jobs_until(at, log, is_stopping):
    """Do a round, but die at one of its steps, and note how it ended; 0 is no step."""
    trap = RoundTrap(at, log)
    trap.set()
    try:
        do_due_jobs(is_stopping)
    finally:
        trap.unset()
    log.note("survived", trap.steps, trap.adding)


def die_at_random(path):
    """Let the autopilot of this process and of its forks die at random steps; they note the rounds in a file."""
    log = Log(path)
    pilot.do_due_jobs = lambda is_stopping: do_due_jobs_until(SystemRandom().randint(1, MOST_STEPS), log, is_stopping)


class Orders:
    """A folder in which a test says when a process may do a round, and at which step it dies."""

    def __init__(self, folder):
        self._order, self._new, self._taken = (folder / name for name in ("order", "new", "taken"))
        self._freedom = folder / "freedom"
        self.log = Log(folder / "rounds")

    def give(self, step):
        """Have one process do a round and die at a step, and return None.

        If it survived, return how many steps it took, and which one added to totals, or 0.
        """
        before = len(self.log.lines())
        self._new.write_text(str(step))
        self._new.rename(self._order)
        wait_until(lambda: len(self.log.lines()) > before)
        what, numbers = self.log.lines()[-1]
        if what == "survived":
            return numbers
        wait_until(lambda: not runs(str(numbers[0])))
        return None

    def set_free(self):
        """Let all processes do their rounds, and live."""
        self._freedom.touch()

    def take(self):
        """Return the step of an order that no other process has taken; None if there is none."""
        if self._freedom.exists():
            return 0
        with suppress(FileNotFoundError):
            self._order.rename(self._taken)
            return int(self._taken.read_text())
        return None

    def obey(self, is_stopping):
        """Wait for an order, and do a round."""
        while (at := self.take()) is None:
            if is_stopping():
                return
            time.sleep(0.01)
        do_due_jobs_until(at, self.log, is_stopping)


@sync_and_async_middleware
def obeying(get_response):
    pilot.do_due_jobs = Orders(Path(os.environ["ORDERS"])).obey
    return get_response
