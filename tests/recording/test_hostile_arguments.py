"""Arguments whose own methods raise: recording never raises into the caller, at every door, unless it is strict."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import partial

import pytest

from app_metrics import Timer, collect, gauge, metric, timing, track
from app_metrics.contrib.rules import Rule
from app_metrics.testing.recorded import capture_metrics


class Hostile(Exception):
    def __str__(self):
        raise Hostile

    __repr__ = __str__


SPARED = {"__class__", "__new__", "__init__", "__init_subclass__", "__getattribute__", "__setattr__", "__delattr__"}


def hostile(base):
    """Return a subclass of a type whose methods all raise."""

    def refuse(self, *args, **kwargs):
        raise Hostile

    names = {name for name in dir(base) if callable(getattr(base, name))} - SPARED
    return type(f"Hostile_{base.__name__}", (base,), dict.fromkeys([*names, "__bool__"], refuse))


class HostileTime(datetime):
    def replace(self, *args, **kwargs):
        return self

    def timestamp(self):
        return float("nan")


class HostileZone(tzinfo):
    def utcoffset(self, moment):
        raise Hostile


class Endless(Mapping):
    def __getitem__(self, name):
        return name

    def __iter__(self):
        while True:
            yield "x"

    def __len__(self):
        return 1


class Sly(str):
    """A str that equals a good one until it was recorded."""

    __slots__ = ()
    hashes = True

    def __hash__(self):
        if not type(self).hashes:
            raise Hostile
        return super().__hash__()

    def __eq__(self, other):
        return super().__eq__(other)


OBJECT, TEXT, WHOLE, FLOAT, DECIMAL, DICT, TIME = map(hostile, (object, str, int, float, Decimal, dict, datetime))
VALUES = [
    OBJECT(),
    TEXT("x"),
    WHOLE(1),
    FLOAT(1.5),
    DECIMAL("1.5"),
    DICT(x="y"),
    TIME(2026, 6, 1, tzinfo=UTC),
    HostileTime(2026, 6, 1, tzinfo=UTC),
    datetime(2026, 6, 1, tzinfo=HostileZone()),
    Endless(),
    {"x": OBJECT()},
    {"x": TEXT("y")},
    {"x" * 200: "y"},
    Hostile(),
    5,
]


def gauged(slug, value=1, **options):
    gauge(slug, value, **options)


def timed(slug, **options):
    with timing(slug, **options):
        pass


def measured(slug, **options):
    timer = Timer(slug, **options)
    timer.start()
    timer.stop()


def tracked(**options):
    track("x", **options)(lambda: None)()


def failing(error):
    def read(*args, **kwargs):
        raise error

    return read


def each_call():
    for value in VALUES:
        for record in (metric, gauged, timed, measured):
            yield partial(record, value)
            yield partial(record, "x", labels=value)
        for record in (metric, gauged):
            yield partial(record, "x", value)
            yield partial(record, "x", at=value)
        yield partial(metric, "x", on_commit=True, using=value)
        yield partial(tracked, labels=lambda value=value: value)
        yield partial(tracked, num=lambda result, value=value: value)
        for reads in ({"num": lambda source, value=value: value}, {"labels": {"x": lambda source, value=value: value}}):
            yield partial(Rule("SETTING", "x", **reads).fire, None)
    for read in ({"num": failing(Hostile())}, {"when": failing(Hostile())}, {"labels": {"x": failing(Hostile())}}):
        yield partial(Rule("SETTING", "x", **read).fire, None)
    yield partial(tracked, labels=failing(Hostile()))
    yield partial(tracked, num=failing(Hostile()))


def raises(call):
    try:
        call()
    except Exception:
        return True
    return False


def recorded(call):
    """Return how many events a call counted, and how many it dropped."""
    with capture_metrics() as recording:
        call()
        metric("good")
    counted = sum(recording.count(slug) for slug in set(recording.slugs) - {"app_metrics_dropped", "good"})
    return counted, recording.total("app_metrics_dropped")


def in_scope(call):
    with collect():
        call()


@pytest.mark.django_db
def test_an_object_whose_methods_all_raise_never_breaks_the_caller(settings):
    settings.APP_METRICS_STRICT = False
    # A true `on_commit` counts at a commit, so the next test cannot take it.
    calls = list(enumerate([*each_call(), *(partial(metric, "x", on_commit=value) for value in VALUES)]))
    breaking = [number for number, call in calls if raises(call) or raises(partial(in_scope, call))]
    assert breaking == []
    assert len(calls) > 200


@pytest.mark.django_db
def test_an_object_whose_methods_all_raise_is_counted_or_dropped(settings):
    settings.APP_METRICS_STRICT = False
    events = [sum(recorded(call)) for call in each_call()]
    assert set(events) == {1}


def test_a_text_whose_methods_fail_after_recording_affects_no_other_count(settings, monkeypatch):
    settings.APP_METRICS_STRICT = False

    def record():
        with collect():
            metric("slug")
            metric(Sly("slug"), labels={Sly("plan"): Sly("pro")})
            metric(Sly("slug-of-its-own"))
            monkeypatch.setattr(Sly, "hashes", False)
            metric("slug", labels={"plan": "pro"})

    with capture_metrics() as recording:
        raised = raises(record)
    assert not raised
    assert (recording.count("slug"), recording.count("slug-of-its-own")) == (3, 1)


def test_a_label_without_a_text_is_empty_and_the_event_counts():
    rule = Rule("SETTING", "x", labels={"plan": lambda source: OBJECT()})
    with capture_metrics() as recording:
        raised = raises(partial(rule.fire, None))
    assert not raised
    assert recording.count("x", {"plan": ""}) == 1
