"""Reset state in forked processes, because the parent writes what was gathered before the fork."""

import os
import weakref
from collections.abc import Callable
from inspect import ismethod
from operator import call
from typing import Any


class _Call(weakref.ref[Any]):
    """A call of a function or a method while its object lives. A WeakMethod would print an error when Python ends."""

    act: Callable[[Any], None]


_calls: set[_Call] = set()


def after_fork(start_afresh: Callable[[], None]) -> None:
    """Register a function, or a method while its object lives, to be called in every forked process.

    It must replace locks, because a thread that does not exist in the fork may hold them forever, and must drop the
    parent's data. Only a weak reference is kept, so pass a module-level function, not a lambda or a partial.
    """
    target: Any = start_afresh
    reference = _Call(target.__self__ if ismethod(target) else target, _calls.discard)
    reference.act = target.__func__ if ismethod(target) else call
    _calls.add(reference)


def _start_afresh() -> None:
    for reference in list(_calls):
        target = reference()
        if target is not None:
            reference.act(target)


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_start_afresh)
