"""Reset state in forked processes, because the parent writes what was gathered before the fork."""

import os
import weakref
from collections.abc import Callable
from inspect import ismethod
from typing import Any

# Weak references, so that this keeps no object alive.
_calls: set[Any] = set()


def after_fork(start_afresh: Callable[[], None]) -> None:
    """Register a function, or a method while its object lives, to be called in every forked process.

    It must replace locks, because a thread that does not exist in the fork may hold them forever, and must drop the
    parent's data. Only a weak reference is kept, so pass a module-level function, not a lambda or a partial.
    """
    reference: Any = weakref.WeakMethod if ismethod(start_afresh) else weakref.ref
    _calls.add(reference(start_afresh, _calls.discard))


def _start_afresh() -> None:
    for reference in list(_calls):
        call = reference()
        if call is not None:
            call()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_start_afresh)
