"""Calling a definition records; labels that are not defined are refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils.translation import gettext_lazy

import app_metrics
from app_metrics.core.dropped import DROPPED_SLUG, take_entries
from app_metrics.core.hashing import hash_of
from app_metrics.core.summary import COUNTER, DISTRIBUTION, GAUGE, UNIQUE
from app_metrics.core.uniques import Uniques
from app_metrics.definitions import Counter, Distribution, Gauge, Timer, Unique
from app_metrics.definitions.definition import existing
from app_metrics.models import Item
from app_metrics.testing import capture_metrics


@pytest.mark.parametrize(
    ("call", "kind", "total", "labels"),
    [
        (lambda: Counter("x")(), COUNTER, 1, "{}"),
        (lambda: Counter("x")(3), COUNTER, 3, "{}"),
        (lambda: Counter("x")("2.5"), COUNTER, Decimal("2.5"), "{}"),
        (lambda: Counter("x", labels=["plan"])(), COUNTER, 1, "{}"),
        (lambda: Counter("x", labels=["num", "plan"])(3, plan="pro", num="a"), COUNTER, 3, '{"num":"a","plan":"pro"}'),
        (lambda: Gauge("x")(1.5), GAUGE, Decimal("1.5"), "{}"),
        (lambda: Gauge("x", labels=("queue", "value"))(7, queue="a", value="b"), GAUGE, 7, '{"queue":"a","value":"b"}'),
        (lambda: Distribution("x")("2.5"), DISTRIBUTION, Decimal("2.5"), "{}"),
        (lambda: Distribution("x", labels=["value"])(7, value="a"), DISTRIBUTION, 7, '{"value":"a"}'),
        (lambda: Unique("x")("ann"), UNIQUE, 1, "{}"),
        (lambda: Unique("x", labels=["value"])(7, value="a"), UNIQUE, 1, '{"value":"a"}'),
    ],
)  # fmt: skip
def test_a_call_records_what_it_is_given(db, call, kind, total, labels):
    call()
    assert Item.objects.values_list("slug", "kind", "total", "labels").get() == ("x", kind, total, labels)


def test_a_call_records_at_another_time(db):
    Counter("x")(at=datetime(2026, 10, 1, 9, tzinfo=UTC))
    Gauge("y")(1, at=datetime(2026, 10, 2, 9, tzinfo=UTC))
    Distribution("z")(1, at=datetime(2026, 10, 3, 9, tzinfo=UTC))
    Unique("zz")(1, at=datetime(2026, 10, 4, 9, tzinfo=UTC))
    assert [str(day) for day in Item.objects.order_by("slug").values_list("day", flat=True)] == [
        "2026-10-01",
        "2026-10-02",
        "2026-10-03",
        "2026-10-04",
    ]


@pytest.mark.django_db(transaction=True)
def test_a_counter_waits_for_the_commit_on_demand():
    with transaction.atomic():
        Counter("x")(on_commit=True, using="default")
        assert not Item.objects.exists()
    assert Item.objects.get().total == 1


@pytest.mark.django_db(transaction=True)
def test_a_distribution_waits_for_the_commit_on_demand():
    with transaction.atomic():
        Distribution("x")(5, on_commit=True)
        assert not Item.objects.exists()
    assert Item.objects.get().total == 5


@pytest.mark.django_db(transaction=True)
def test_a_unique_count_waits_for_the_commit_on_demand():
    with transaction.atomic():
        Unique("x")("ann", on_commit=True, using="default")
        assert not Item.objects.exists()
    assert Item.objects.get().count == 1


def test_a_unique_count_counts_an_id_once():
    active_users = Unique("active_users")
    with capture_metrics() as recording:
        for user in (7, 8, "7"):
            active_users(user)
    assert recording.summary("active_users").uniques == Uniques([hash_of(7), hash_of(8)])


def test_a_timer_makes_a_new_timer_for_each_block():
    export = Timer("export_seconds", labels=["format"])
    with capture_metrics() as recording:
        with export(format="csv"), export():
            pass
        timer = export(format="csv")
        timer.start()
        assert timer.stop() == timer.elapsed()
    assert isinstance(timer, app_metrics.Timer)
    assert recording.count("export_seconds", {"format": "csv"}) == 2
    assert recording.count("export_seconds", {}) == 1


def test_a_label_of_any_kind_may_be_called_self():
    with capture_metrics() as recording:
        Counter("x", labels=["self"])(self="a")
        Gauge("y", labels=["self"])(1, self="a")
        Distribution("w", labels=["self"])(1, self="a")
        Unique("v", labels=["self"])(1, self="a")
        with Timer("z", labels=["self"])(self="a"):
            pass
    assert [recording.count(slug, {"self": "a"}) for slug in "vwxyz"] == [1, 1, 1, 1, 1]


CALLS = [
    lambda: Counter("x", labels=["plan"])(plam="pro"),
    lambda: Gauge("x", labels=["plan", "country"])(1, plam="pro"),
    lambda: Distribution("x", labels=["plan"])(1, plam="pro"),
    lambda: Unique("x", labels=["plan"])(1, plam="pro"),
    lambda: Timer("x", labels=["plan"])(plam="pro").__enter__(),
]


@pytest.mark.parametrize("call", CALLS)
def test_an_undefined_label_raises_in_strict_mode(call, settings):
    settings.APP_METRICS_STRICT = True
    with pytest.raises(ValueError, match=r"\('x'\) has no label 'plam'\. Did you mean 'plan'\?"):
        call()


def test_a_label_of_a_definition_without_labels_says_what_to_write(settings):
    settings.APP_METRICS_STRICT = True
    with pytest.raises(ValueError, match=r"Define it with labels=\['plan'\]\."):
        Counter("x")(plan="pro")


@pytest.mark.parametrize("call", CALLS)
def test_an_undefined_label_drops_the_event_otherwise(call, caplog):
    with capture_metrics() as recording:
        call()
    assert recording.count("x") == 0
    assert [(slug, number) for slug, _, _, number, _ in take_entries()] == [(DROPPED_SLUG, 1)]
    assert "has no label 'plam'" in caplog.text


def test_the_block_of_a_timer_with_an_undefined_label_runs_unrecorded(caplog):
    with capture_metrics() as recording, Timer("x")(plan="pro") as timer:
        pass
    assert timer.elapsed() >= 0
    assert recording.slugs == []
    assert len(take_entries()) == 1


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_refused_while_recording_is_disabled(call, settings):
    settings.APP_METRICS_STRICT = True
    settings.APP_METRICS_DISABLED = True
    call()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Counter("no slug"), ValueError, "'no slug' is not a slug"),
        (lambda: Counter(5), TypeError, "A slug must be a str"),
        (lambda: Counter("x", labels="plan"), TypeError, "The labels of 'x' are 'plan'; give a list of names"),
        (lambda: Counter("x", labels={"plan": "pro"}), TypeError, "give a list of names"),
        (lambda: Counter("x", labels=[5]), TypeError, "Labels must map str to str"),
        (lambda: Counter("x", labels=["a" * 101]), ValueError, "has 101 characters"),
        (lambda: Counter("x", labels=list("abcdefghi")), ValueError, "9 labels are too many"),
        (lambda: Counter("x", labels=["at"]), ValueError, "The label 'at' of 'x' is an argument of a call"),
        (lambda: Gauge("x", labels=["on_commit"]), ValueError, "The label 'on_commit' of 'x'"),
        (lambda: Timer("x", labels=["using"]), ValueError, "The label 'using' of 'x'"),
        (lambda: Counter("x", better="more"), ValueError, "better='more' is unknown; choose one of up, down, neither"),
        (lambda: Counter("x", unit="x" * 31), ValueError, "`unit` has 31 characters; the maximum is 30"),
        (lambda: Counter("x", name="x" * 201), ValueError, "`name` has 201 characters; the maximum is 200"),
        (lambda: Counter("x", description="\0"), ValueError, "`description` contains NUL"),
        (lambda: Counter("x", description=5), TypeError, "`description` must be a str, not int"),
        (lambda: Timer("x", unit="s"), TypeError, "unexpected keyword argument 'unit'"),
    ],
)
def test_a_mistake_in_a_definition_raises_where_it_is_made(make, error, message, settings):
    settings.APP_METRICS_STRICT = False
    with pytest.raises(error, match=message):
        make()
    assert existing() == []


def test_a_definition_knows_its_texts_and_where_it_is():
    orders = Counter("orders", name=gettext_lazy("Orders"), unit="EUR", description="Paid", better="up")
    assert orders.texts == {"name": "Orders", "unit": "EUR", "description": "Paid", "better": "up"}
    assert Timer("export").texts == {"name": "export", "unit": "", "description": "", "better": ""}
    assert (orders.module, Timer("export").module) == (__name__, __name__)
    assert repr(orders) == "Counter('orders')"


def test_a_definition_that_a_function_makes_is_forgotten_with_it():
    kept = Counter("kept")
    Counter("lost")()
    assert existing() == [kept]
