"""`metrics_adopt` takes over an old database: its tables, keys, history and sets."""

from collections import Counter
from datetime import date
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db.migrations.loader import MigrationLoader

from app_metrics import gauge, metric
from app_metrics.adoption import run as run_module
from app_metrics.checks.databases import check_adoption
from app_metrics.models import Item, Metric, MetricSet, Milestone, Total
from tests.support.old_site import COMPANIES, FORK, PERIOD_TABLES, SHAPES, ZONE, OldSite, drop_everything, dump


def run(*arguments):
    out = StringIO()
    call_command("metrics_adopt", *arguments, stdout=out)
    return out.getvalue()


def stored(slug, period):
    return dict(Total.objects.filter(metric__slug=slug, period=period).values_list("start", "total"))


@pytest.mark.every_database
def test_a_dry_run_changes_nothing(old_site):
    before = dump(old_site.connection)
    run("--dry-run")
    assert dump(old_site.connection) == before


def test_a_dry_run_shows_the_sums(old_site):
    days = old_site.sum("signups", "metricday")
    assert f"signups: days {days} = weeks" in run("--dry-run")


@pytest.mark.every_database
def test_the_sums_are_those_of_the_old_rows(old_site):
    run()
    for slug, pk in old_site.ids.items():
        new = Metric.objects.get(pk=pk).slug
        assert stored(new, "day") == old_site.days[slug]
        years = Counter()
        for day, number in old_site.days[slug].items():
            years[date(day.year, 1, 1)] += number
        assert stored(new, "year") == years
    pending = sum(num for _, num, _ in old_site.rows["metricitem"])
    assert sum(Item.objects.filter(kind="counter").values_list("total", flat=True)) == pending


@pytest.mark.every_database
@pytest.mark.parametrize("aware", [True, False])
def test_pending_items_keep_their_hours(old_database, settings, aware):
    settings.USE_TZ = aware
    site = OldSite(old_database.alias, FORK, small=True).build()
    run()
    expected = Counter()
    for _, num, moment in site.rows["metricitem"]:
        local = moment.astimezone(ZONE)
        expected[local.date(), local.hour] += num
    found = Counter()
    for item in Item.objects.filter(kind="counter").defer("histogram", "uniques"):
        found[item.day, item.hour] += item.total
    assert found == expected


@pytest.mark.every_database
def test_foreign_keys_of_the_project_stay(old_site):
    run()
    with old_site.connection.cursor() as cursor:
        cursor.execute("SELECT g.metric_id, m.id FROM shop_goal g JOIN app_metrics_metric m ON m.id = g.metric_id")
        assert len(cursor.fetchall()) == len(old_site.ids)
        relations = old_site.connection.introspection.get_relations(cursor, "shop_goal")
    assert relations["metric_id"][:2] == ("id", "app_metrics_metric")


@pytest.mark.every_database
def test_migrate_finds_our_migration_applied(old_site):
    run()
    call_command("migrate", database=old_site.connection.alias, verbosity=0, skip_checks=False)
    MigrationLoader(old_site.connection).check_consistent_history(old_site.connection)  # as `makemigrations --check`


@pytest.mark.every_database
def test_the_site_counts_on(old_site):
    run()
    call_command("migrate", "app_metrics", database=old_site.connection.alias, verbosity=0)
    metric("signups", 5)
    gauge("queue", 3)
    metric("new-one")
    call_command("metrics_aggregate", verbosity=0)
    old = old_site.sum("signups", "metricday") + old_site.sum("signups", "metricitem")
    assert sum(stored("signups", "year").values()) == old + 5
    assert [Metric.objects.get(slug=slug).kind for slug in ("queue", "new-one")] == ["gauge", "counter"]


@pytest.mark.every_database
def test_users_and_metrics_can_be_deleted_afterwards(old_site):
    run()
    call_command("migrate", "app_metrics", database=old_site.connection.alias, verbosity=0)
    get_user_model().objects.get(pk=1).delete()
    Metric.objects.exclude(pk__in=old_site.ids.values()).delete()


@pytest.mark.every_database
def test_sets_keep_their_members_and_recipients(old_site):
    text = run()
    sets = {each.pk: each for each in MetricSet.objects.all()}
    assert [sets[1].name, sets[2].name] == ["Growth", "Growth (2)"]
    assert sets[2].periods == ["week"]
    assert sets[3].periods == []
    assert "Growth (2) is not mailed daily any more" in text
    for each in sets.values():
        assert each.metrics.count() == 3
        assert each.email_recipients.count() == 2


@pytest.mark.every_database
def test_slugs_that_are_not_allowed_get_others(old_site):
    text = run()
    assert {"api-calls", "api-calls-2", "orders-paid", "signups-gauge", "cpu-load"} <= set(
        Metric.objects.values_list("slug", flat=True)
    )
    assert "Metric api.calls becomes api-calls-2." in text
    assert "Gauge signups becomes signups-gauge. Change the code that records it." in text
    assert "    'api.calls': 'api-calls-2'," in text


def test_a_gauge_has_its_last_reading(old_database):
    OldSite(old_database.alias, FORK, small=True).build()
    run()
    call_command("migrate", "app_metrics", database=old_database.alias, verbosity=0)
    call_command("metrics_aggregate", verbosity=0)
    assert str(Total.objects.get(metric__slug="queue", period="day").last) == "12.5"


def test_milestones_of_the_past_are_not_announced(old_database, settings):
    settings.APP_METRICS_MILESTONES = {"signups": [100]}
    site = OldSite(old_database.alias, FORK, small=True).build()
    run()
    assert site.sum("signups", "metricyear") > 100
    call_command("migrate", "app_metrics", database=old_database.alias, verbosity=0)
    call_command("metrics_aggregate", verbosity=0)
    assert not Milestone.objects.exists()


def test_numbers_that_would_change_stop_the_adoption(old_database, monkeypatch):
    OldSite(old_database.alias, FORK, small=True).build()
    before = dump(old_database)
    monkeypatch.setattr(run_module, "_append", lambda entries: None)
    with pytest.raises(CommandError, match="would change"):
        run()
    if old_database.features.can_rollback_ddl:
        assert dump(old_database) == before
    assert check_adoption(databases=[old_database.alias])


def test_the_old_rows_stay_until_they_are_dropped(old_site):
    run()
    names = old_site.connection.introspection.table_names
    kept = {f"app_metrics_old_{table}" for table in (*PERIOD_TABLES, "metricitem", "gauge", "metric", "metricset")}
    assert kept <= set(names())
    assert run("--drop") == "Dropped 8 tables.\n"
    assert not kept & set(names())


@pytest.mark.every_database
def test_metrics_of_companies_get_slugs_of_their_own(old_database):
    site = OldSite(old_database.alias, COMPANIES, small=True).build()
    text = run()
    assert [Metric.objects.get(pk=pk).slug for pk in (site.ids["signups"], 90, 91)] == [
        "signups",
        "signups-2",
        "x" * 60,
    ]
    assert "Metric signups becomes signups-2. Change the code that records it." in text
    assert "app_metrics_metric that a fork added are left out: company_id." in text
    assert Metric.objects.create(slug="new").pk > 91


def shape_of(connection):
    """Return columns and constraints of our tables, constraints without their names.

    The tables between metrics, sets and users stay as they are.
    """
    return {
        table: (
            sorted(column[:2] + column[4:7] for column in columns),
            sorted(
                (each["columns"], each["unique"], each["primary_key"], each["foreign_key"] or ())
                for each in constraints.values()
                if each["columns"] and (each["unique"] or each["primary_key"] or each["foreign_key"])
            ),
        )
        for table, (columns, constraints, _) in dump(connection).items()
        if table.startswith("app_metrics_") and not table.startswith(("app_metrics_old_", "app_metrics_metricset_"))
    }


@pytest.mark.every_database
@pytest.mark.parametrize("shape", SHAPES)
def test_the_tables_are_those_of_a_new_database(old_database, shape):
    call_command("migrate", "app_metrics", database=old_database.alias, verbosity=0)
    expected = shape_of(old_database)
    drop_everything(old_database)
    OldSite(old_database.alias, shape, small=True).build()
    run()
    call_command("migrate", "app_metrics", database=old_database.alias, verbosity=0)
    found = shape_of(old_database)
    assert found.keys() == expected.keys()
    assert {table: (found[table], each) for table, each in expected.items() if found[table] != each} == {}
