"""Kill this process at its n-th message to a server or right after a commit, or delay its commits."""

import os
import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Trap:
    """Count this process's messages to servers and its successful commits; kill it at the n-th."""

    def __init__(self, at=0, die=die):
        self._at = at
        self._die = die
        self._patches = ExitStack()
        self.steps = 0

    def step(self):
        self.steps += 1
        if self.steps == self._at:
            self._die()

    def set(self):
        self._patches.enter_context(connection.execute_wrapper(self._around_statement))
        for owner, name in ((BaseDatabaseWrapper, "_commit"), (Path, "rename"), (Path, "unlink")):
            self._patch(before, owner, name)
            self._patch(after, owner, name)
        if settings.APP_METRICS_BACKEND == "app_metrics.backends.redis":
            from redis.connection import AbstractConnection

            self._patch(before, AbstractConnection, "send_packed_command")

    def unset(self):
        self._patches.close()

    def _patch(self, change, owner, name):
        self._patches.callback(setattr, owner, name, getattr(owner, name))
        change(owner, name, self.step)

    def _around_statement(self, execute, *arguments):
        self.step()
        return execute(*arguments)


def commit_late(seconds):
    """Hold every transaction of this process open for up to this many seconds before it commits."""
    before(BaseDatabaseWrapper, "_commit", lambda: time.sleep(random.uniform(0, seconds)))


def after(owner, name, act):
    original = getattr(owner, name)

    def called(*arguments, **options):
        result = original(*arguments, **options)
        act()
        return result

    setattr(owner, name, called)


def before(owner, name, act):
    original = getattr(owner, name)

    def called(*arguments, **options):
        act()
        return original(*arguments, **options)

    setattr(owner, name, called)
