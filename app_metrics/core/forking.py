"""Start afresh in a forked process: what its parent gathered, the parent writes itself."""

import os
import weakref
from collections.abc import Callable
from inspect import ismethod
from typing import Any

# Weak, so that nothing lives on for the sake of forks to come.
_calls: set[Any] = set()


def after_fork(start_afresh: Callable[[], None]) -> None:
    """Have a function, or a method as long as its object lives, called in every process forked from this one.

    It replaces locks, which a lost thread may hold there for good, and forgets what the parent holds. A function must
    be that of a module: what nobody else holds is gone at once.
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
