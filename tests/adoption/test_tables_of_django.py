"""Tables that Django made, as for a fork with migrations: with its names of constraints and indexes."""

from datetime import date

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import migrations, models
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from app_metrics.adoption.old_tables import APP
from app_metrics.models import Metric, MetricSet
from tests.adoption.test_adopt import run, shape_of
from tests.support.old_site import FLAGS, drop_everything

TOTALS = ("MetricDay", "MetricWeek", "MetricMonth", "MetricYear")


def old_models(key):
    """Yield the models of a fork; the key is an AutoField or a BigAutoField."""

    def created(name, /, **fields):
        return migrations.CreateModel(name, [("id", key(primary_key=True)), *fields.items()])

    def of_metric(name, /, when, **options):
        metric = models.ForeignKey(f"{APP}.Metric", **options)
        return created(name, num=models.BigIntegerField(default=0), created=when, metric=metric)

    named = {"name": models.CharField(max_length=50), "slug": models.SlugField(max_length=60, unique=True)}
    times = {"created": models.DateTimeField(), "updated": models.DateTimeField()}
    yield created("Gauge", **named, current_value=models.DecimalField(max_digits=15, decimal_places=6), **times)
    yield created("Metric", **named)
    yield from (of_metric(name, models.DateField(), on_delete=models.CASCADE) for name in TOTALS)
    flags = {name: models.BooleanField(default=False) for name in FLAGS}
    people = models.ManyToManyField("auth.User")
    yield created(
        "MetricSet",
        name=named["name"],
        **flags,
        email_recipients=people,
        metrics=models.ManyToManyField(f"{APP}.Metric"),
    )
    yield of_metric("MetricItem", models.DateTimeField(), on_delete=models.PROTECT)


def create(connection, key):
    """Create the tables, and return a function that returns the manager of an old model."""
    state = ProjectState()
    user = migrations.CreateModel("User", [("id", models.AutoField(primary_key=True))])
    user.state_forwards("auth", state)
    with connection.schema_editor() as editor:
        for operation in old_models(key):
            before = state.clone()
            operation.state_forwards(APP, state)
            operation.database_forwards(APP, editor, before, state)
    MigrationRecorder(connection).record_applied(APP, "0001_initial")
    return lambda name: state.apps.get_model(APP, name)._base_manager.using(connection.alias)


@pytest.mark.parametrize("key", [pytest.param(models.AutoField, marks=pytest.mark.every_database), models.BigAutoField])
def test_they_become_ours_under_names_that_django_finds_again(old_database, key):
    alias = old_database.alias
    call_command("migrate", APP, database=alias, verbosity=0)
    expected = shape_of(old_database)
    drop_everything(old_database)
    old = create(old_database, key)
    user = User.objects.create(username="reader")
    metric = old("Metric").create(name="Calls", slug="api.calls")
    for name in TOTALS:
        old(name).create(num=4, created=date(2020, 1, 1), metric=metric)
    growth = old("MetricSet").create(name="Growth", send_daily=True)
    growth.metrics.add(metric)
    growth.email_recipients.add(user.pk)
    run()
    call_command("migrate", APP, database=alias, verbosity=0)
    assert shape_of(old_database) == expected
    adopted = MetricSet.objects.get()
    assert [each.slug for each in adopted.metrics.all()] == ["api-calls"]
    assert list(adopted.email_recipients.all()) == [user]
    user.delete()
    Metric.objects.get().delete()
    for target in ("zero", "0001_app_metrics"):
        call_command("migrate", APP, target, database=alias, verbosity=0)
