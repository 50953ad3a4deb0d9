"""Which fields are proposed as dates, labels and numbers; the values stand for a sample of rows."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.test.utils import isolate_apps
from django.utils import timezone

from app_metrics.suggestions.amounts import amounts
from app_metrics.suggestions.dates import creation_date
from app_metrics.suggestions.labels import labels
from app_metrics.suggestions.tables import Table
from tests.testapp.models import Subscription


def table(model="Order", /, columns=None, **fields):
    """Return a table of a model that has no table in the database."""
    with isolate_apps("tests.testapp"):
        meta = type("Meta", (), {"app_label": "testapp"})
        return Table(type(model, (models.Model,), {"__module__": __name__, "Meta": meta, **fields}), columns or {})


def date_of(found):
    dated = creation_date(found)
    return dated and dated[0].name


def amounts_of(found, has_date=True):
    return [each.field.name for each in amounts(found, has_date)]


def labels_of(found):
    return {label.name: label.path for label in labels(found)}


def test_a_date_that_is_set_when_a_row_is_added_is_better_than_one_with_a_name():
    found = table(created=models.DateTimeField(), stamp=models.DateTimeField(auto_now_add=True))
    assert date_of(found) == "stamp"


@pytest.mark.parametrize("name", ["created_at", "date_created", "placed_on", "date_joined", "creation_date"])
def test_a_date_is_known_by_its_name(name):
    assert date_of(table(**{name: models.DateTimeField(null=True)})) == name


@pytest.mark.parametrize("name", ["modified", "last_created", "due_date", "birth_date", "happens"])
def test_a_date_that_may_change_or_lie_ahead_is_not_taken(name):
    assert date_of(table(**{name: models.DateTimeField()})) is None


def test_a_date_that_each_save_sets_is_not_taken():
    assert date_of(table(created=models.DateTimeField(auto_now=True))) is None


def test_a_date_whose_default_is_now_is_taken():
    assert date_of(table(on=models.DateTimeField(default=timezone.now))) == "on"


def test_a_moment_is_better_than_a_day():
    assert date_of(table(created_on=models.DateField(), created_at=models.DateTimeField())) == "created_at"


def test_a_date_that_lies_ahead_in_a_row_is_not_taken():
    ahead = timezone.now() + timedelta(days=9)
    assert date_of(table(date=models.DateTimeField(), columns={"date": [ahead]})) is None


def test_rows_of_a_site_without_time_zones_may_lie_ahead_too(settings):
    settings.USE_TZ = False
    now = timezone.now()
    assert date_of(table(date=models.DateTimeField(), columns={"date": [now]})) == "date"
    assert date_of(table(date=models.DateTimeField(), columns={"date": [now + timedelta(days=9)]})) is None


def test_a_date_that_most_rows_lack_is_not_taken():
    columns = {"posted_at": [timezone.now(), None, None]}
    assert date_of(table(posted_at=models.DateTimeField(null=True), columns=columns)) is None


def test_choices_switches_and_a_currency_are_labels_the_currency_first():
    found = table(
        channel=models.CharField(max_length=9, choices=[("web", "Web"), ("shop", "Shop")]),
        is_gift=models.BooleanField(),
        currency=models.CharField(max_length=3),
    )
    assert [*labels_of(found)] == ["currency", "channel", "is_gift"]


@pytest.mark.parametrize("name", ["status", "is_active", "paid", "order_state"])
def test_what_changes_during_the_life_of_a_row_is_no_label_of_its_addition(name):
    assert labels_of(table(**{name: models.BooleanField()})) == {}


def test_a_relation_to_few_rows_is_a_label_with_the_name_of_the_row():
    with isolate_apps("tests.testapp"):
        category = table("Category", name=models.CharField(max_length=50)).model
        found = table(category=models.ForeignKey(category, models.CASCADE))
    assert labels_of(found) == {"category": "category.name"}


def test_a_relation_whose_sample_has_many_values_is_no_label():
    with isolate_apps("tests.testapp"):
        category = table("Category", name=models.CharField(max_length=50)).model
        found = table(category=models.ForeignKey(category, models.CASCADE), columns={"category_id": list(range(60))})
    assert labels_of(found) == {}


def test_a_relation_whose_sample_has_few_values_is_a_label_whatever_its_name():
    with isolate_apps("tests.testapp"):
        shelf = table("Shelf", name=models.CharField(max_length=50)).model
        found = table(shelf=models.ForeignKey(shelf, models.CASCADE), columns={"shelf_id": [1, 2, 3] * 20})
    assert labels_of(found) == {"shelf": "shelf.name"}


def test_a_user_is_no_label():
    assert labels_of(table(kind=models.ForeignKey(User, models.CASCADE))) == {}


def test_a_total_and_a_quantity_are_added_up_and_the_gross_total_is_preferred():
    found = table(
        total_excl_tax=models.DecimalField(),
        total_incl_tax=models.DecimalField(),
        shipping_price=models.DecimalField(),
        quantity=models.IntegerField(),
    )
    assert amounts_of(found) == ["total_incl_tax", "quantity"]


@pytest.mark.parametrize("name", ["max_amount", "stock_quantity", "unit_price", "amount_remaining"])
def test_limits_stocks_and_rates_are_not_added_up(name):
    assert amounts_of(table(**{name: models.IntegerField()})) == []


def test_the_price_of_an_offer_is_not_added_up():
    assert amounts_of(table("Product", price=models.DecimalField())) == []


def test_without_a_date_only_lines_and_payments_are_added_up():
    amount = {"amount": models.DecimalField()}
    assert amounts_of(table("OrderLine", **amount), False) == ["amount"]
    assert amounts_of(table("Condition", **amount), False) == []
    assert amounts_of(table("Estimate", **amount), False) == []


def test_a_plain_day_may_be_planned_and_is_not_taken():
    assert date_of(table(date=models.DateField())) is None
    assert date_of(table(date=models.DateTimeField())) == "date"


def test_the_status_after_a_change_is_a_label_of_the_change():
    found = table("StatusChange", old_status=models.CharField(max_length=9), new_status=models.CharField(max_length=9))
    assert labels_of(found) == {"new_status": "new_status"}


def test_the_price_of_one_piece_is_not_added_up():
    assert amounts_of(table(price=models.DecimalField(), quantity=models.IntegerField())) == ["quantity"]
    both = table(line_price=models.DecimalField(), quantity=models.IntegerField())
    assert amounts_of(both) == ["line_price", "quantity"]


def test_a_child_model_has_the_date_of_its_parent():
    assert date_of(Table(Subscription)) == "placed_at"
