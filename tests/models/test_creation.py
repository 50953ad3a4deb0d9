"""Creating metrics and metric sets from code: repeating a call is harmless, and no call leaves partial rows."""

import re
from contextlib import contextmanager
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models.signals import m2m_changed, post_save, pre_save
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

from app_metrics import unique
from app_metrics.models import Metric, MetricSet
from app_metrics.utils import create_metric, create_metric_set, get_or_create_metric

User = get_user_model()


@contextmanager
def connected(signal, receiver, sender):
    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


@pytest.fixture
def users(database):
    return [User.objects.create(username=name, email=f"{name}@example.com") for name in ("ann", "bob")]


@pytest.fixture
def metrics(database):
    return [create_metric("One", "one"), create_metric("Two", "two")]


def test_create_metric_twice_returns_the_same_metric(database):
    first = create_metric(name="New User Metric", slug="new_user_signup")
    assert create_metric(name="New User Metric", slug="new_user_signup") == first
    assert (first.name, first.slug, first.kind) == ("New User Metric", "new_user_signup", "counter")
    assert Metric.objects.count() == 1


def test_an_existing_slug_with_another_name_returns_the_metric_as_it_is(database):
    first = create_metric("Old", "x", unit="EUR")
    again = create_metric("New", "x", "gauge", unit="USD", description="other")
    assert (again.pk, again.name, again.kind, again.unit) == (first.pk, "Old", "counter", "EUR")


def test_get_or_create_metric_finds_by_slug_or_creates(database):
    first = get_or_create_metric("Signups", "signup")
    assert get_or_create_metric("Other name", "signup") == first
    assert (first.name, first.slug) == ("Signups", "signup")


@pytest.mark.parametrize("better", ["", "up", "down", "neither"])
def test_a_metric_may_say_which_change_is_good_news(better, database):
    create_metric("Refunds", better=better)
    assert Metric.objects.get().better == better


def test_any_other_good_news_is_refused(database):
    with pytest.raises(ValueError, match="better='less' is unknown; choose one of up, down, neither"):
        create_metric("Refunds", better="less")
    assert not Metric.objects.exists()


def test_a_process_of_the_version_before_can_still_create_metrics(database):
    """It does not know the column of good news."""
    with connections[database].cursor() as cursor:
        cursor.execute(
            "INSERT INTO app_metrics_metric (name, slug, kind, unit, description, second_kind) "
            "VALUES ('Orders', 'orders', 'counter', '', '', '')"
        )
    assert Metric.objects.get().better == ""


def test_a_metric_is_created_with_the_given_values(database):
    create_metric("Export time", kind="timer", unit="s", description="of CSV files")
    found = Metric.objects.values_list("name", "slug", "kind", "unit", "description").get()
    assert found == ("Export time", "export-time", "timer", "s", "of CSV files")


def test_a_unique_count_is_created_and_counts(database):
    metric = create_metric("Active users", "active_users", kind="unique")
    unique("active_users", 7)
    assert metric.summary("day").uniques.count == 1
    assert metric.second_kind == ""


def test_colliding_slugs_are_numbered_from_2(database):
    slugs = [create_metric(name).slug for name in ["A b", "A-b", "a b", "A  b"]]
    assert slugs == ["a-b", "a-b-2", "a-b-3", "a-b-4"]


def test_an_existing_name_returns_its_metric(database):
    made = [create_metric(name) for name in ["A b", "A-b", "a b"]]
    assert [create_metric(metric.name) for metric in reversed(made)] == made[::-1]


def test_a_numbered_slug_stays_within_its_length(database):
    slugs = [create_metric("x" * 120 + end).slug for end in "ab"]
    assert slugs == ["x" * 100, "x" * 98 + "-2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Name", "not a slug"), "is not a slug"),
        (("Name", ""), "is not a slug"),
        (("Name", "x", "histogram"), "is not a kind of metric; choose one of counter, gauge, timer"),
        (("???",), "No slug can be made from the name"),
        (("日本",), "from the name '日本', because it has no letter from a to z and no digit; give a slug"),
        (("",), "No slug can be made from the name"),
    ],
)
def test_a_metric_that_cannot_be_is_refused_with_the_reason(database, arguments, message):
    with pytest.raises(ValueError, match=message):
        create_metric(*arguments)
    assert not Metric.objects.exists()


@pytest.mark.parametrize("slug", ["x", None])
def test_an_unrelated_integrity_error_is_not_tried_again(database, slug):
    attempts = []

    def break_the_row(instance, **kwargs):
        attempts.append(instance.slug)
        instance.kind = None

    with connected(pre_save, break_the_row, Metric), pytest.raises(IntegrityError):
        create_metric("x", slug)
    assert attempts == ["x"]
    create_metric("y")  # the caller's transaction is still usable


def test_a_metric_set_is_saved_with_its_metrics_and_recipients(users, metrics):
    made = create_metric_set(
        name="My Set", metrics=metrics, email_recipients=users, send_daily=False, send_weekly=True, send_monthly=True
    )
    found = MetricSet.objects.get(name="My Set")
    assert found == made
    assert list(found.metrics.all()) == metrics
    assert set(found.email_recipients.all()) == set(users)
    assert (found.send_daily, found.send_weekly, found.send_monthly) == (False, True, True)


def test_a_metric_set_is_sent_daily_unless_it_says_otherwise(metrics):
    made = create_metric_set("My Set", iter(metrics))
    assert (made.send_daily, made.send_weekly, made.send_monthly) == (True, False, False)
    assert made.email_recipients.count() == 0


@pytest.mark.parametrize("more", [(False,), (True, True, False, True)])
def test_the_arguments_after_the_third_have_names(users, metrics, more):
    with pytest.raises(TypeError, match=r"give the others by name: no_email, send_daily, send_weekly and send_monthly"):
        create_metric_set("My Set", metrics, users, *more)
    assert not MetricSet.objects.exists()


@pytest.mark.parametrize("no_email", [True, False])
def test_a_set_without_email_is_never_sent(users, metrics, no_email):
    made = create_metric_set("My Set", metrics, users, no_email=no_email, send_weekly=True, send_monthly=True)
    assert [str(period) for period in made.periods] == ([] if no_email else ["day", "week", "month"])
    assert made.email_recipients.count() == 2


def test_the_user_of_a_request_may_be_a_recipient(users, metrics):
    made = create_metric_set("My Set", metrics, [SimpleLazyObject(lambda: users[0])])
    assert made.email_recipients.get() == users[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metrics": ["one"]}, "`metrics` holds 'one', which is not a saved app_metrics.Metric"),
        ({"metrics": [Metric(slug="unsaved")]}, "not a saved app_metrics.Metric"),
        ({"email_recipients": [5]}, "`email_recipients` holds 5, which is not a saved auth.User"),
        ({"email_recipients": [User(username="unsaved")]}, "not a saved auth.User"),
    ],
)
def test_a_metric_set_of_wrong_types_is_refused_and_not_saved(users, metrics, wrong, message):
    arguments = {"name": "My Set", "metrics": metrics, "email_recipients": users, **wrong}
    with pytest.raises(TypeError, match=message):
        create_metric_set(**arguments)
    assert not MetricSet.objects.exists()


def test_recipients_may_be_plain_addresses_beside_users(users, metrics):
    made = create_metric_set("My Set", metrics, iter(["x@example.com", users[0], "Y@example.com"]))
    found = MetricSet.objects.get(pk=made.pk)
    assert found.email_addresses.splitlines() == ["x@example.com", "Y@example.com"]
    assert list(found.email_recipients.all()) == users[:1]


@pytest.mark.parametrize(
    "text", ["nobody", "", " ann@example.com", "a@example.com\nb@example.com", "a@example.com\r\nBcc: b@example.com"]
)
def test_an_invalid_address_is_refused_and_saves_nothing(users, metrics, text):
    with pytest.raises(ValueError, match="is not an e-mail address") as caught:
        create_metric_set("My Set", metrics, [users[0], "x@example.com", text])
    assert repr(text) in str(caught.value)
    assert not MetricSet.objects.exists()


def test_a_text_instead_of_a_list_of_addresses_is_refused(metrics):
    with pytest.raises(TypeError, match=r"give a list: email_recipients=\['ann@example.com'\]"):
        create_metric_set("My Set", metrics, "ann@example.com")
    assert not MetricSet.objects.exists()


def test_a_taken_name_says_so_and_leaves_the_set_that_has_it(users, metrics):
    create_metric_set("My Set", metrics, users)
    with pytest.raises(ValueError, match="A metric set named 'My Set' already exists"):
        create_metric_set("My Set", metrics[:1])
    assert MetricSet.objects.get().metrics.count() == 2


@pytest.mark.parametrize(
    ("signal", "sender"),
    [
        (post_save, MetricSet),
        (m2m_changed, MetricSet.metrics.through),
        (m2m_changed, MetricSet.email_recipients.through),
    ],
)
def test_an_error_at_any_step_leaves_nothing_half_saved(transactional_database, signal, sender):
    metric, user = create_metric("One"), User.objects.create(username="ann")

    def fail(**kwargs):
        raise DatabaseError("the disk is full")

    with connected(signal, fail, sender), pytest.raises(DatabaseError, match="the disk is full"):
        create_metric_set("My Set", [metric], [user])
    assert not MetricSet.objects.exists()


def test_a_refused_set_leaves_the_callers_transaction_usable(transactional_database):
    create_metric_set("My Set", [])
    with transaction.atomic(using=transactional_database):
        with pytest.raises(ValueError, match="already"):
            create_metric_set("My Set", [])
        create_metric_set("Other", [])
    assert MetricSet.objects.count() == 2


class Hostile(str):
    __slots__ = ()

    def refuse(self, *args):
        raise LookupError

    __str__ = __repr__ = __format__ = __hash__ = __eq__ = __len__ = refuse


@pytest.mark.parametrize("create", [create_metric, partial(create_metric_set, metrics=[])])
def test_a_name_with_hostile_methods_is_stored_as_plain_text(create, database):
    assert type(create(Hostile("signups")).name) is str
    assert {*Metric.objects.values_list("name"), *MetricSet.objects.values_list("name")} == {("signups",)}


def test_a_lazy_translation_is_a_name(database):
    assert create_metric(gettext_lazy("day")) == create_metric("day")


@pytest.mark.parametrize("argument", ["name", "kind", "unit", "description"])
@pytest.mark.parametrize("value", [5, None, ["x"], b"x"])
def test_create_metric_says_which_argument_is_not_text(argument, value):
    with pytest.raises(TypeError, match=f"`{argument}` must be a str"):
        create_metric(**{"name": "x", argument: value})


@pytest.mark.parametrize("value", ["x" * 201, "a\0b", "a\ud800b"])
@pytest.mark.parametrize("create", [create_metric, partial(create_metric_set, metrics=[])])
def test_a_name_that_no_database_takes_is_refused_with_the_reason(create, value):
    with pytest.raises(ValueError, match=r"`name` (has|contains)"):
        create(value)


def test_a_metric_that_is_saved_without_a_slug_gets_one_from_its_name(database):
    assert [Metric.objects.create(name="foo bar").slug for _ in range(3)] == ["foo-bar", "foo-bar-2", "foo-bar-3"]


def test_metrics_that_are_created_in_bulk_without_slugs_get_them_from_their_names(database):
    Metric.objects.create(name="foo bar")
    metrics = [Metric(name="foo bar"), Metric(name="foo", slug="foo-bar-2"), Metric(name="foo bar")]
    Metric.objects.bulk_create(metrics)
    slugs = sorted(Metric.objects.values_list("slug", flat=True))
    assert slugs == ["foo-bar", "foo-bar-2", "foo-bar-3", "foo-bar-4"]


@pytest.mark.parametrize("name", ["???", "日本", ""])
def test_a_metric_whose_name_makes_no_slug_is_not_saved_without_one(name, database):
    with pytest.raises(
        ValueError, match=f"from the name '{re.escape(name)}', because it has no letter from a to z and no digit"
    ):
        Metric.objects.create(name=name)
    assert not Metric.objects.exists()
    assert Metric.objects.create(name=name, slug="visits").slug == "visits"
