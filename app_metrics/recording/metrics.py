"""Record by hand: `metric`, `gauge`, `timing` and `Timer`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from time import perf_counter
from time import time as now
from types import TracebackType
from typing import Self

from django.db import transaction
from django.utils.connection import ConnectionDoesNotExist

from .. import conf
from ..conf import is_strict
from ..core.dropped import BAD_ARGUMENT, drop
from ..core.labels import NO_LABELS
from ..core.numbers import LARGEST, Number
from ..core.summary import COUNTER, GAUGE, TIMER
from ..core.validation import ONE, check_labels, check_number, check_slug, check_time, good_slugs, known_labels
from .scope import current_scope, ended_scope

Labels = Mapping[str, str] | None


def metric(
    slug: str,
    num: int | Decimal = 1,
    *,
    labels: Labels = None,
    at: datetime | None = None,
    on_commit: bool = False,
    using: str | None = None,
) -> None:
    """Count `num` (default: 1) of a metric, in whatever unit the metric has.

    It counts at once, whether or not a transaction commits; with `on_commit` it counts only if the transaction that is
    open on the database alias `using` (default: "default") commits. `at` is the moment it happened (default: now); a
    naive one is in the metrics time zone. An unknown slug is counted, and its metric created, by the aggregation.

    Raises TypeError or ValueError for a bad argument where APP_METRICS_STRICT holds; elsewhere that is logged and the
    number dropped.
    """
    record(slug, COUNTER, num, labels, at, partial(_when_committed, using) if on_commit else None)


def gauge(slug: str, value: float | Decimal, *, labels: Labels = None, at: datetime | None = None) -> None:
    """Record what a value is at a moment, such as the length of a queue; see `metric()` for the arguments.

    A float is rounded to nine decimal places.
    """
    record(slug, GAUGE, value, labels, at)


def record(
    slug: str,
    kind: str,
    number: Number | float,
    labels: Labels = None,
    at: datetime | None = None,
    later: Callable[[Callable[[], None]], None] | None = None,
) -> None:
    """Record an entry of any kind into the current scope, or at once where there is none.

    `later` is called with what does so (default: it is done now). Every caller waits for this function, so what is
    usual is done in it, without a call of another one.
    """
    if conf.disabled:
        return
    try:
        if slug not in good_slugs:
            check_slug(slug)
        text = NO_LABELS
        if labels is not None:
            text = (type(labels) is dict and known_labels(tuple(labels.items()))) or check_labels(labels)
        if number is not ONE and (type(number) is not int or not -LARGEST < number < LARGEST):
            number = check_number(number, kind)
        seconds = now() if at is None else check_time(at)
    except (TypeError, ValueError) as error:
        refuse(_mistake(slug, labels) or error)
        return
    scope = current_scope() or ended_scope()
    if later is None:
        entries = scope.entries
        entries.append((slug, kind, text, number, seconds))
        if len(entries) >= scope.room:
            scope.make_room()
    else:
        later(partial(scope.add, (slug, kind, text, number, seconds)))


def after_commit(add: Callable[[], None], using: str | None) -> None:
    """Call `add` when the transaction on a database commits: now where none is open, never where it is rolled back.

    Where a project manages transactions by hand Django cannot tell, and `add` is called now.
    """
    connection = transaction.get_connection(using)
    if connection.in_atomic_block:
        connection.on_commit(add, robust=True)
    else:
        add()


def _when_committed(using: str | None, add: Callable[[], None]) -> None:
    try:
        after_commit(add, using)
    except ConnectionDoesNotExist:
        refuse(ValueError(f"using={using!r} is the alias of no database."))


class Timer:
    """Record how long blocks take, in seconds of a monotonic clock, as `with timer:` or between `start()` and `stop()`.

    A timer can be used again and nested in itself, by one thread or task at a time. A block that raises is recorded,
    too. Raises TypeError or ValueError for a bad slug or label where APP_METRICS_STRICT holds.
    """

    def __init__(self, slug: str, *, labels: Labels = None) -> None:
        is_known = labels is None and type(slug) is str and slug in good_slugs
        if not is_known and is_strict() and not conf.disabled:  # rather here than after the block
            check_slug(slug)
            check_labels(labels)
        self._slug, self._labels = slug, labels
        self._starts: list[float] = []

    def start(self) -> None:
        self._starts.append(perf_counter())

    def stop(self) -> float:
        """Record and return the seconds since the latest `start()`. Raises RuntimeError when there was none."""
        if not self._starts:
            raise RuntimeError("Timer.stop() was called without a start().")
        seconds = perf_counter() - self._starts.pop()
        record(self._slug, TIMER, seconds, self._labels)
        return seconds

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


timing = Timer


def _mistake(slug: str, labels: Labels) -> TypeError | ValueError | None:
    """Return what is wrong with a slug or labels; Python's own error would only say that they cannot be hashed."""
    try:
        check_slug(slug)
        check_labels(labels)
    except (TypeError, ValueError) as error:
        return error
    return None


def refuse(error: TypeError | ValueError) -> None:
    """Raise a bad argument's error where that is wanted; else drop what it came with."""
    if is_strict():
        raise error
    drop(BAD_ARGUMENT, str(error))
