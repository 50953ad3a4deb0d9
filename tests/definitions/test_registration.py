"""`migrate` creates the metrics that are defined; stored ones follow, but for what a person has changed."""

import threading
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections
from django.utils import translation
from django.utils.translation import gettext_lazy

from app_metrics import gauge, metric
from app_metrics.definitions import Counter, Distribution, Gauge, Timer, discovery
from app_metrics.definitions.registration import register, register_after_migrating
from app_metrics.models import Metric, MetricSet
from app_metrics.models.creation import create_metric

TEXTS = {"name": "Orders", "unit": "EUR", "description": "What was paid", "better": "up"}
NEW = {"name": "Sales", "unit": "USD", "description": "What was sold", "better": "neither"}
FIELDS = ("name", "unit", "description", "better")


def stored(slug="orders"):
    return Metric.objects.filter(slug=slug).values(*FIELDS).get()


def test_missing_metrics_are_created_as_defined(database):
    defined = [Counter("orders", **TEXTS), Gauge("queue_length"), Timer("export_seconds", better="down")]
    register([*defined, Distribution("price", unit="EUR")])
    found = {each.slug: each.kind for each in Metric.objects.all()}
    assert found == {"orders": "counter", "queue_length": "gauge", "export_seconds": "timer", "price": "distribution"}
    assert stored() == TEXTS
    assert stored("queue_length") == {"name": "queue_length", "unit": "", "description": "", "better": ""}


def test_a_metric_that_an_event_created_is_completed(database):
    metric("orders")
    Metric.objects.discover()
    register([Counter("orders", **TEXTS)])
    assert stored() == TEXTS


def test_a_stored_metric_follows_its_definition(database):
    register([Counter("orders", **TEXTS)])
    register([Counter("orders", **NEW)])
    assert stored() == NEW
    register([Counter("orders")])
    assert stored() == {"name": "orders", "unit": "", "description": "", "better": ""}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", ["down", ""])
def test_what_a_person_has_changed_stays(field, text, database):
    register([Counter("orders", **TEXTS)])
    Metric.objects.filter(slug="orders").update(**{field: text})
    for texts in (TEXTS, NEW, NEW):
        register([Counter("orders", **texts)])
        assert stored() == {**texts, field: text}


def test_a_field_that_a_person_sets_to_what_its_definition_says_follows_again(database):
    register([Counter("orders", **TEXTS)])
    Metric.objects.filter(slug="orders").update(unit="CHF")
    register([Counter("orders", **NEW)])
    Metric.objects.filter(slug="orders").update(unit=NEW["unit"])
    register([Counter("orders", **TEXTS)])
    assert stored() == TEXTS


def test_what_was_said_before_there_was_a_definition_stays(database):
    create_metric("Sold", "orders", unit="pieces")
    register([Counter("orders", **TEXTS)])
    assert stored() == {**TEXTS, "name": "Sold", "unit": "pieces"}


def test_the_kind_under_which_numbers_were_recorded_stays(database):
    gauge("orders", 1)
    Metric.objects.discover()
    register([Counter("orders", **TEXTS)])
    assert Metric.objects.get(slug="orders").kind == "gauge"


def test_a_metric_that_is_defined_no_longer_stays(database):
    register([Counter("orders", **TEXTS)])
    register([])
    assert stored() == TEXTS


def test_registering_again_is_one_query(database, django_assert_num_queries):
    definitions = [Counter("orders", **TEXTS), Counter("visits")]
    register(definitions)
    with django_assert_num_queries(1, connection=connections[database]):
        register(definitions)


def test_a_translation_is_stored_in_the_language_of_the_site(database, settings):
    settings.LANGUAGE_CODE = "de"
    orders = Counter("orders", name=gettext_lazy("January"))
    with translation.override("fr"):
        register([orders])
    assert stored()["name"] == "Januar"


@pytest.mark.every_database
def test_threads_that_register_at_once_create_each_metric_once(transactional_database):
    definitions = [Counter(f"orders_{number}", **TEXTS) for number in range(5)]
    barrier, errors = threading.Barrier(4), []

    def work():
        try:
            barrier.wait()
            for _ in range(3):
                register(definitions)
        except Exception as error:
            errors.append(error)
        finally:
            connections[transactional_database].close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Metric.objects.count() == 5


@pytest.fixture
def orders(monkeypatch):
    orders = Counter("orders", **TEXTS)
    monkeypatch.setattr(discovery, "existing", lambda: [orders])
    return orders


def test_migrate_creates_the_metrics_before_their_sets(orders, database, settings):
    settings.APP_METRICS_SETS = {"Growth": {"metrics": ["orders"]}}
    call_command("migrate", database=database, verbosity=0)
    assert stored() == TEXTS
    assert [each.slug for each in MetricSet.objects.get().metrics.all()] == ["orders"]


def test_a_plan_of_migrations_creates_nothing(orders, database):
    call_command("migrate", database=database, plan=True, stdout=StringIO())
    assert not Metric.objects.exists()


def test_migrating_another_database_creates_nothing(orders, database, settings, django_assert_num_queries):
    settings.DATABASE_ROUTERS = []
    settings.APP_METRICS_DATABASE = "elsewhere"
    with django_assert_num_queries(0, connection=connections[database]):
        register_after_migrating(using="default", sender=apps.get_app_config("app_metrics"))


def test_without_definitions_migrate_asks_nothing(database, django_assert_num_queries):
    with django_assert_num_queries(0, connection=connections[database]):
        register_after_migrating(using=database, sender=apps.get_app_config("app_metrics"))
