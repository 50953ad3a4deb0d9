"""Old slugs and names that MariaDB and MySQL take for equal do not stop the adoption halfway."""

import pytest

from app_metrics.adoption.shape import equal_in
from app_metrics.models import Metric, MetricSet
from tests.adoption.test_adopt import run
from tests.support.old_site import FLAGS, FORK, SOUTH, OldSite

SETS = "app_metrics_metricset"
PAIRS = [("📈", "📉"), ("Ab", "aB"), ("Straße", "strasse"), ("łx", "lx"), ("café", "cafe "), ("a", "a\u200b")]


def build(connection, shape=FORK):
    """Build the site in the server's usual collation, whatever that of the database is."""
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET NAMES utf8mb4")
            usual = "utf8mb4_0900_ai_ci" if not connection.mysql_is_mariadb else "utf8mb4_general_ci"
            cursor.execute(f"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE {usual}")
    return OldSite(connection.alias, shape, small=True).build()


@pytest.mark.every_database
def test_sets_whose_names_are_equal_to_the_server_get_names_that_are_not(old_database):
    site = build(old_database)
    names = [name for pair in PAIRS for name in pair] + ["📊", "📈 (2)"]
    rows = [(100 + place, name, *(False for _ in FLAGS)) for place, name in enumerate(names)]
    with old_database.cursor() as cursor:
        site._insert(cursor, SETS, ("id", "name", *FLAGS), rows)
    run()
    found = MetricSet.objects.filter(pk__gte=100)
    assert found.count() == len(names)
    assert {each.name for each in found} >= {"📈", "Ab", "Straße"}


@pytest.mark.every_database
def test_names_that_the_server_takes_for_equal_are_found(old_database):
    if old_database.vendor != "mysql":
        pytest.skip("compares exactly")
    build(old_database)
    same = equal_in(old_database, SETS)
    for one, other in [*PAIRS, ("a", "b"), ("a", "A"), ("a", "á")]:
        with old_database.cursor() as cursor:
            cursor.execute(f"UPDATE {SETS} SET name = %s WHERE id = 1", [one])
            cursor.execute(f"SELECT count(*) FROM {SETS} WHERE id = 1 AND name = %s", [other])
            (is_equal,) = cursor.fetchone()
        assert same(one) == same(other) or not is_equal, (one, other)
    assert same("a") != same("b")


@pytest.mark.every_database
def test_a_new_slug_may_equal_an_old_one_that_also_changes(old_database):
    if old_database.vendor != "mysql":
        pytest.skip("compares exactly")
    site = build(old_database, SOUTH)
    with old_database.cursor() as cursor:
        rows = [(100, "One", "a x"), (101, "Two", "à-x"), (102, "Three", "l x"), (103, "Four", "ł-x")]
        site._insert(cursor, "app_metrics_metric", ("id", "name", "slug"), rows)
    run()
    slugs = dict(Metric.objects.filter(pk__range=(100, 103)).values_list("pk", "slug"))
    assert slugs == {100: "a-x", 101: "x", 102: "l-x", 103: "x-2"}
