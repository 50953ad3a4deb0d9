"""`@track`: count calls of functions, coroutines, methods and views."""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial, wraps
from time import perf_counter
from types import MethodType
from typing import Any, TypeVar

from .. import conf
from ..conf import is_strict
from ..core.dropped import FAILED_RULE, drop
from ..core.plain_text import brief
from ..core.summary import COUNTER, DISTRIBUTION, TIMER, UNIQUE
from ..core.validation import check_slug, fit_texts
from ..recording.metrics import record
from .identities import Identity

OUTCOMES = ("success", "error", "always")

# The attribute of a decorated function with the calls that are tracked; other decorators hand it on.
TRACKED = "_app_metrics_tracked"

Labels = Mapping[str, str] | Callable[..., Mapping[str, str]] | None
Amount = int | Decimal | Callable[[Any], int | Decimal]
Decorated = TypeVar("Decorated")


def track(
    slug: str,
    *,
    when: str = "success",
    timing: bool = False,
    labels: Labels = None,
    num: Amount = 1,
    distribution: Callable[[Any], float | Decimal] | None = None,
    unique: Callable[..., Any] | None = None,
    on_commit: bool = False,
) -> Callable[[Decorated], Decorated]:
    """Count the calls of a function, coroutine function, method, or view (a function or a View class).

    `when` is "success" (the call returned: the default), "error" (it raised) or "always". `timing` also records the
    seconds each of those calls took, as the timer "<slug>_seconds". `labels` is a mapping, or is called with the call's
    arguments and returns one. `num` is the number to count, or is called with the result and returns it; a call that
    raised then counts 1. `distribution` is called with the result, and returns a number to record instead as
    `distribution()` does, or None. `unique` is called with the call's arguments, and returns an id to count once
    instead, as `unique()` does, or None. With `on_commit` a call counts only if the transaction open at its end
    commits. A generator counts when it is called, not when it is used up.

    The decorated object keeps its signature and exceptions. Raises TypeError or ValueError for a bad argument, and
    TypeError for an object with methods of its own, such as a Celery task, when it decorates and not when it is called.
    """
    if when not in OUTCOMES:
        raise ValueError(f"when={when!r} is invalid; choose one of {', '.join(OUTCOMES)}.")
    if timing:
        check_slug(f"{slug}_seconds")
    if distribution is not None and (num != 1 or when == "error" or not callable(distribution)):
        raise ValueError("Give distribution= a callable that takes the result, without num= and when='error'.")
    if unique is not None and (num != 1 or distribution is not None or not callable(unique)):
        raise ValueError("Give unique= a callable that takes the call's arguments, without num= and distribution=.")
    identity = unique and Identity(lambda arguments: unique(*arguments[0], **arguments[1]))
    call = _Tracked(check_slug(slug), when, timing, labels, num, distribution, identity, on_commit)
    return partial(_decorate, call)


def counted_by_track(view: Any) -> list[str]:
    """Return the metrics of which `@track` counts 1 for each call of a view that succeeds."""
    calls = (call for call in getattr(view, TRACKED, ()) if call.when in ("success", "always"))
    return [call.slug for call in calls if call.num == 1 and call.distribution is None and call.identity is None]


@dataclass(frozen=True, slots=True)
class _Tracked:
    slug: str
    when: str
    timing: bool
    labels: Labels
    num: Amount
    distribution: Callable[[Any], float | Decimal] | None
    identity: Identity | None
    on_commit: bool

    def record(self, started: float, outcome: str, result: Any, args: Any, kwargs: Any) -> None:
        seconds = perf_counter() - started
        if conf.disabled or self.when not in (outcome, "always"):
            return
        try:
            labels = fit_texts(self.labels(*args, **kwargs)) if callable(self.labels) else self.labels
            kind, number = self._measured(outcome, result, args, kwargs)
            if number is not None or kind == COUNTER:
                record(self.slug, kind, number, labels, on_commit=self.on_commit)
            if self.timing:
                record(f"{self.slug}_seconds", TIMER, seconds, labels, on_commit=self.on_commit)
        except Exception as error:
            if is_strict() and outcome == "success":
                raise
            drop(FAILED_RULE, f"labels or numbers of @track({self.slug!r}): {brief(error)}", source=self.slug)

    def _measured(self, outcome: str, result: Any, args: Any, kwargs: Any) -> tuple[str, Any]:
        """Return the kind of the metric, and what to record of the call."""
        if self.identity is not None:
            return UNIQUE, self.identity((args, kwargs))
        if self.distribution is not None:
            return DISTRIBUTION, self.distribution(result) if outcome == "success" else None
        return COUNTER, self._amount(outcome, result)

    def _amount(self, outcome: str, result: Any) -> int | Decimal:
        if not callable(self.num):
            return self.num
        return self.num(result) if outcome == "success" else 1


def _decorate(call: _Tracked, decorated: Any) -> Any:
    if isinstance(decorated, (staticmethod, classmethod)):
        return type(decorated)(_decorate(call, decorated.__func__))
    if isinstance(decorated, type):
        return _decorate_view_class(call, decorated)
    if not callable(decorated):
        raise TypeError(f"@track can decorate functions, methods and View classes, but not {decorated!r}.")
    _check_attributes(decorated)
    return _async_wrapper(call, decorated) if inspect.iscoroutinefunction(decorated) else _wrapper(call, decorated)


def _check_attributes(decorated: Any) -> None:
    """Raise TypeError if the wrapper, a function, would lack attributes of the decorated object.

    Only those of a function are copied: an object's own may change later, such as a number of calls.
    """
    kept = vars(decorated) if inspect.isfunction(decorated) else {}
    lost = [name for name in dir(decorated) if not name.startswith("_") and name not in kept]
    if lost and not isinstance(decorated, (partial, MethodType)):
        raise TypeError(
            f"@track would hide .{lost[0]} and other attributes of {decorated!r}; "
            "put @track directly above the function or the method __call__, below other decorators."
        )


def _decorate_view_class(call: _Tracked, view: Any) -> Any:
    if not hasattr(view, "dispatch"):
        raise TypeError(f"@track cannot decorate the class {view.__name__}, because it has no dispatch(); use a View.")
    view.dispatch = _wrapper(call, view.dispatch)
    return view


def _async_wrapper(call: _Tracked, function: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await _awaited(call, perf_counter(), function(*args, **kwargs), args, kwargs)

    return _marked(wrapper, call)


def _wrapper(call: _Tracked, function: Callable[..., Any]) -> Any:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        try:
            result = function(*args, **kwargs)
        except BaseException:
            call.record(started, "error", None, args, kwargs)
            raise
        if inspect.iscoroutine(result):  # dispatch() of an asynchronous View class, for one
            return _awaited(call, started, result, args, kwargs)
        call.record(started, "success", result, args, kwargs)
        return result

    return _marked(wrapper, call)


def _marked(wrapper: Any, call: _Tracked) -> Any:
    setattr(wrapper, TRACKED, (*getattr(wrapper, TRACKED, ()), call))
    return wrapper


async def _awaited(call: _Tracked, started: float, coroutine: Coroutine[Any, Any, Any], args: Any, kwargs: Any) -> Any:
    try:
        result = await coroutine
    except BaseException:
        call.record(started, "error", None, args, kwargs)
        raise
    call.record(started, "success", result, args, kwargs)
    return result
