"""Whether a write on a connection commits at once, who closes it, whether it is lost, and callbacks on commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError


def commits_at_once(connection: Any) -> bool:
    """Return whether a write on a connection is committed at once. Does not connect to the database."""
    return connection.connection is None or bool(connection.autocommit)


@contextmanager
def closed_as_before(connection: Any) -> Iterator[None]:
    """Close a connection that the block opened, unless CONN_MAX_AGE keeps it.

    Outside a request Django closes nothing: each thread of a pool that only counts would keep a connection.
    """
    was_open = connection.connection is not None
    try:
        yield
    finally:
        if not was_open:
            connection.close_if_unusable_or_obsolete()


def is_lost(connection: Any, error: Exception) -> bool:
    """Return whether an error means that the database is down, rather than a lock or bad data."""
    return isinstance(error, (OperationalError, InterfaceError)) and connection.connection is None


def call_on_commit(connection: Any, function: Callable[[], None]) -> None:
    """Call a function when the open transaction commits, before all callbacks of the project.

    Django skips the remaining callbacks if one raises, such as `task.delay` while the broker is down.
    """
    function.is_first = True  # type: ignore[attr-defined]
    connection.on_commit(function, robust=True)
    run = connection.run_and_clear_commit_hooks
    if getattr(run, "func", None) is not _run_first:
        connection.run_and_clear_commit_hooks = partial(_run_first, connection, run)


def _run_first(connection: Any, run: Callable[[], None]) -> None:
    # Not sorted earlier, because `TestCase.captureOnCommitCallbacks` relies on positions in this list.
    connection.run_on_commit.sort(key=lambda hook: not getattr(hook[1], "is_first", False))
    run()
