"""Record by hand: `metric`, `gauge`, `distribution`, `unique`, `timing` and `Timer`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from time import perf_counter
from time import time as now
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from django.db import transaction

from .. import conf
from ..conf import is_strict
from ..core.batch import Entry
from ..core.dropped import BAD_ARGUMENT, MAX_CAUSE_LENGTH, drop
from ..core.errors import TimerError
from ..core.hashing import hash_of
from ..core.labels import NO_LABELS
from ..core.numbers import LARGEST
from ..core.plain_text import brief
from ..core.summary import COUNTER, DISTRIBUTION, GAUGE, TIMER, UNIQUE
from ..core.validation import ONE, check_given, check_labels, check_time, good_slugs, known_labels, recorded_slug
from ..storage.connections import call_on_commit
from .scope import Scope, current_scope
from .tenants import ended_scope

Labels = Mapping[str, str] | None

# What a block of `on_commit_together()` has recorded.
_held: ContextVar[list[Entry] | None] = ContextVar("app_metrics_held", default=None)
# The slug of a timer that gets one only when it stores. Not None, which a project may pass by mistake.
_LATER: Any = object()


def metric(
    slug: str,
    num: int | Decimal | str = 1,
    *,
    labels: Labels = None,
    at: datetime | None = None,
    on_commit: bool = False,
    using: str | None = None,
) -> None:
    """Add `num` (default: 1) to a metric, in the metric's own unit; a text such as "4" is read as a number.

    It counts at once, whether or not a transaction commits. With `on_commit` it counts only if the transaction that is
    open on the database alias `using` (default: "default") commits; if none is open, it counts at once. `at` is when it
    happened (default: now); a naive datetime is in the metrics time zone. An unknown metric is created later.

    Raises TypeError or ValueError for a bad argument if APP_METRICS_STRICT is true; otherwise that is logged, and the
    number is dropped.
    """
    # The usual call does not need record(), which would cost it a fifth more.
    scope = current_scope()
    if num is ONE and at is None and on_commit is False and scope is not None and not conf.disabled:
        try:
            text = NO_LABELS if labels is None else type(labels) is dict and known_labels(tuple(labels.items()))
        except Exception:  # record() says what is wrong
            text = None
        if text and type(slug) is str and slug in good_slugs:
            entries = scope.entries
            entries.append((slug, COUNTER, text, num, now()))
            if len(entries) >= scope.capacity:
                scope.make_room()
            return
    record(slug, COUNTER, num, labels, at, on_commit, using)


def gauge(slug: str, value: float | Decimal | str, *, labels: Labels = None, at: datetime | None = None) -> None:
    """Record the current value of something, such as the length of a queue; see `metric()` for the arguments.

    A float is rounded to nine decimal places.
    """
    record(slug, GAUGE, value, labels, at)


def distribution(
    slug: str,
    value: float | Decimal | str,
    *,
    labels: Labels = None,
    at: datetime | None = None,
    on_commit: bool = False,
) -> None:
    """Record one of many values, such as that of an order, whose mean and percentiles are wanted; see `metric()`.

    A float is rounded to nine decimal places.
    """
    record(slug, DISTRIBUTION, value, labels, at, on_commit)


def unique(
    slug: str,
    value: int | str | UUID | Decimal,
    *,
    labels: Labels = None,
    at: datetime | None = None,
    on_commit: bool = False,
    using: str | None = None,
) -> None:
    """Count something once in each period, however often it comes, such as the primary key of an active user.

    `value` is an int, a text, a UUID or a whole Decimal. Only a keyed hash of it is kept: it is made here, before
    anything is gathered, stored or sent. See `metric()` for the other arguments.
    """
    try:
        record(slug, UNIQUE, value, labels, at, on_commit, using)
    except Exception:
        del value  # mails about errors show the variables of all functions
        raise


def record(
    slug: str,
    kind: str,
    number: Any,
    labels: Labels = None,
    at: datetime | None = None,
    on_commit: bool = False,
    using: str | None = None,
) -> None:
    """Add an entry of any kind to the current scope, or write it at once if there is none; see `metric()`.

    Of a unique count, `number` is the value to count once, of which an entry holds only the hash.

    This is the hot path: the usual case calls as few functions as possible.
    """
    if conf.disabled:
        return
    try:
        if type(slug) is not str or slug not in good_slugs:
            slug = recorded_slug(slug)
        text = NO_LABELS
        if labels is not None:
            text = (type(labels) is dict and known_labels(tuple(labels.items()))) or check_labels(labels)
        if kind == UNIQUE:
            number = hash_of(number)
        elif number is not ONE and (type(number) is not int or not -LARGEST < number < LARGEST):
            number = check_given(number, kind)
        seconds = now() if at is None else check_time(at)
        on_commit = on_commit is not False and bool(on_commit)
    except Exception as error:  # the methods of an argument may raise anything
        number = None  # it may be an id, and mails about errors show the variables of all functions
        refuse(_mistake(error, slug, kind, labels), slug)
        return
    scope = current_scope() or ended_scope()
    if on_commit:
        entry, held = (slug, kind, text, number, seconds), _held.get()
        if held is None:
            _add_on_commit(scope, [entry], using)
        else:
            held.append(entry)
        return
    entries = scope.entries
    entries.append((slug, kind, text, number, seconds))
    if len(entries) >= scope.capacity:
        scope.make_room()


def _add_on_commit(scope: Scope, entries: list[Entry], using: str | None) -> None:
    """Add entries when the open transaction on a database commits, or now if there is none.

    Django does not see transactions that a project manages without `atomic()`: then the entries are added now.
    """
    try:
        connection = transaction.get_connection(using)
    except Exception:
        refuse(
            ValueError(f"using={brief(using)} is not the alias of a database; use one from DATABASES."), entries[0][0]
        )
        return
    scope = scope.here()  # before the commit, at which another tenant may be current
    if connection.in_atomic_block:
        # A lambda, because Django 5.2 logs the qualified name of a callback that fails, and a partial has none.
        call_on_commit(connection, lambda: scope.add(*entries))
    else:
        scope.add(*entries)


@contextmanager
def on_commit_together(using: str | None) -> Iterator[None]:
    """Let what the block records with `on_commit` wait for one transaction, and be one batch if no scope is open."""
    entries: list[Entry] = []
    token = _held.set(entries)
    try:
        yield
    finally:
        _held.reset(token)
    if entries:
        _add_on_commit(current_scope() or ended_scope(), entries, using)


class Timer:
    """Record how long a block takes, in seconds of a monotonic clock: `with timer:`, or `start()` and `stop()`.

    A timer can be reused, and nested in itself, by one thread or task at a time. A block that raises is recorded, too.
    Without a slug, `stop()` records nothing, and `store()` does; such a timer takes no block, and is not nested.
    Raises TypeError or ValueError for a bad slug or label if APP_METRICS_STRICT is true.
    """

    def __init__(self, slug: str = _LATER, *, labels: Labels = None) -> None:
        is_known = labels is None and (slug is _LATER or (type(slug) is str and slug in good_slugs))
        if not is_known and is_strict() and not conf.disabled:  # fail before the block, not after it
            if slug is not _LATER:
                recorded_slug(slug)
            check_labels(labels)
        self._slug, self._labels = slug, labels
        self._starts: list[float] = []
        self._seconds: float | None = None

    def start(self) -> None:
        """Start. Raises TimerError if a timer without a slug is running already."""
        if self._starts and self._slug is _LATER:
            raise TimerError("Timer.start() was called twice; call stop() first.")
        self._starts.append(perf_counter())

    def stop(self) -> float:
        """Record and return the seconds since the latest `start()`. Raises TimerError if there was none."""
        if not self._starts:
            raise TimerError("Timer.stop() was called without start(); call start() first.")
        self._seconds = seconds = perf_counter() - self._starts.pop()
        self._record(seconds)
        return seconds

    def elapsed(self) -> float:
        """Return the seconds of the latest `stop()`. Raises TimerError if there was none."""
        if self._seconds is None:
            raise TimerError("The timer has not been stopped; call stop() first.")
        return self._seconds

    def store(self, slug: str) -> None:
        """Record the seconds of the latest `stop()` under a slug. Raises TimerError if there was none."""
        record(slug, TIMER, self.elapsed(), self._labels)

    def _record(self, seconds: float) -> None:
        if self._slug is not _LATER:
            record(self._slug, TIMER, seconds, self._labels)

    def __enter__(self) -> Self:
        if self._slug is _LATER:
            raise TimerError('A block would record nothing, because the timer has no slug: write timing("…").')
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


timing = Timer


def _mistake(error: Exception, slug: str, kind: str, labels: Labels) -> Exception:
    """Return the error in a slug or labels: clearer than Python's own, which may only say "unhashable type"."""
    if kind == UNIQUE:
        error.__traceback__ = None  # the functions that make a hash have the value, too
    try:
        recorded_slug(slug)
        check_labels(labels)
    except Exception as mistake:
        return mistake
    return error


def refuse(error: Exception, slug: str) -> None:
    """Raise the error of a bad argument if APP_METRICS_STRICT is true; otherwise count a dropped event."""
    if is_strict():
        raise error
    cause = brief(error, MAX_CAUSE_LENGTH, str) or brief(error)
    drop(BAD_ARGUMENT, cause, source=slug if type(slug) is str and slug in good_slugs else "")
