"""Model rules on what a `CountedQuerySet` does to many rows at once."""

from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connection, models
from django.test import AsyncClient, Client

from app_metrics import collect
from app_metrics.contrib.querysets import CountedQuerySet
from app_metrics.core.dropped import FAILED_RULE
from app_metrics.testing.recorded import assert_metric_recorded
from tests.testapp.models import Document, Draft, Order, Report

pytestmark = [pytest.mark.urls("tests.support.rule_urls"), pytest.mark.django_db]

TITLES = ["free", "pro", "pro"]


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """Run the callbacks that are pending until the test's transaction commits."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def rules(settings):
    settings.APP_METRICS_MODELS = {
        "testapp.Document": {
            "created": ["documents", {"slug": "plans", "labels": {"plan": "plan"}}],
            "updated": "changes",
        }
    }


def make(*titles, model=Document):
    return [model(title=title, plan=title) for title in titles or TITLES]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("rules")
def test_a_request_counts_the_rows_that_it_creates_and_changes(recorded):
    assert Client().get("/titles/", {"title": TITLES}).status_code == 200
    assert_metric_recorded(recorded, "documents", total=3, count=1)
    assert_metric_recorded(recorded, "plans", total=1, count=1, labels={"plan": "free"})
    assert_metric_recorded(recorded, "plans", total=2, count=2, labels={"plan": "pro"})
    assert_metric_recorded(recorded, "changes", total=3, count=1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("rules")
def test_an_asynchronous_view_counts_the_rows_that_it_creates_and_changes(recorded):
    response = async_to_sync(AsyncClient().get)("/async-titles/", {"title": TITLES})
    assert response.status_code == 200
    assert (recorded.total("documents"), recorded.total("plans"), recorded.total("changes")) == (3, 3, 3)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("rules")
def test_rows_that_are_rolled_back_do_not_count(recorded, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    response = Client(raise_request_exception=False).get("/titles/", {"title": TITLES, "fail": 1})
    assert response.status_code == 500
    assert recorded.slugs == []


@pytest.mark.usefixtures("rules")
def test_bulk_update_counts_each_row_once(recorded, committed, settings):
    documents = Document.objects.bulk_create(make())
    settings.APP_METRICS_MODELS = {
        "testapp.Document": {"updated": ["changes", {"slug": "plans", "labels": {"plan": "plan"}}]}
    }
    with committed():
        assert Document.counted.bulk_update(documents, ["title"], batch_size=2) == 3
    assert (recorded.total("changes"), recorded.total("plans"), recorded.total("plans", {"plan": "pro"})) == (3, 3, 2)
    assert recorded.count("app_metrics_dropped") == 0


@pytest.mark.parametrize("scope", [collect, nullcontext], ids=["in a scope", "without a scope"])
def test_rows_created_in_bulk_are_one_batch(scope, settings, recorded, committed):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": {"slug": "pages", "num": "pages"}}}
    with scope(), committed():
        Document.counted.bulk_create(Document(title="a", pages=number) for number in range(3000))
    (batch,) = recorded.batches
    assert [(summary.count, summary.total) for summary in batch.summaries.values()] == [(3000, 3000 * 2999 // 2)]


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("chain", [CountedQuerySet.all, partial(CountedQuerySet.filter, plan="pro")])
def test_update_counts_the_rows_of_its_filter(chain, recorded, committed):
    Document.objects.bulk_create(make())
    with committed():
        changed = chain(Document.counted.all()).update(pages=2)
    assert_metric_recorded(recorded, "changes", total=changed, count=1)


@pytest.mark.usefixtures("rules")
def test_nothing_changed_counts_nothing(recorded, committed):
    with committed():
        Document.counted.update(pages=2)
        Document.counted.bulk_create([])
        Document.counted.bulk_create([], ignore_conflicts=True)
        Document.counted.bulk_update([], ["title"])
    assert recorded.slugs == []


@pytest.mark.usefixtures("rules")
def test_a_row_that_is_saved_by_the_manager_counts_once(recorded, committed):
    with committed():
        document = Document.counted.create(title="a")
        document.save()
        Document.counted.update_or_create(title="a", defaults={"pages": 3})
    assert (recorded.total("documents"), recorded.total("changes")) == (1, 2)


@pytest.mark.usefixtures("rules")
def test_rows_of_a_proxy_or_a_child_count_for_their_model(recorded, committed):
    Report.objects.create(title="a")
    with committed():
        Draft.counted.bulk_create(make(model=Draft))
        Report.counted.update(pages=2)
    assert (recorded.total("documents"), recorded.total("changes")) == (3, 1)


@pytest.mark.usefixtures("rules")
def test_rules_of_pre_save_and_post_save_do_not_count_bulk_operations(settings, recorded, committed):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"post_save": "saves", "pre_save": "saves"}}
    with committed():
        Document.counted.bulk_create(make())
        Document.counted.update(pages=2)
    assert recorded.slugs == []


def test_a_row_counts_at_its_own_date(settings, recorded, committed):
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 2)]
    with committed():
        Order.counted.bulk_create([Order(placed_at=day) for day in days])
    (batch,) = recorded.batches
    assert sorted(summary.total for summary in batch.summaries.values()) == [1, 2]


def test_num_and_when_read_each_row(settings, recorded, committed):
    rule = {"slug": "revenue", "num": "amount", "when": {"amount__gte": 2}}
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": rule}}
    with committed():
        Order.counted.bulk_create(Order(amount=amount) for amount in (1, 2, 3))
    assert_metric_recorded(recorded, "revenue", total=5, count=2)


@pytest.mark.parametrize("key", ["num", "when"])
def test_a_rule_that_reads_rows_drops_an_update_and_says_so(key, settings, recorded, committed, caplog):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"updated": ["changes", {"slug": "pages", key: "pages"}]}}
    Document.objects.bulk_create(make())
    with collect(), committed():
        Document.counted.update(pages=2)
    assert (recorded.total("changes"), recorded.total("pages")) == (3, 0)
    assert_metric_recorded(recorded, "app_metrics_dropped", total=3, labels={"reason": FAILED_RULE})
    assert "bulk_update()" in caplog.text


def test_a_rule_that_reads_rows_drops_a_bulk_update_of_rows_that_are_gone_and_says_so(
    settings, recorded, committed, caplog
):
    settings.APP_METRICS_MODELS = {"testapp.Document": {"updated": ["changes", {"slug": "pages", "num": "pages"}]}}
    documents = Document.objects.bulk_create(make())
    Document.objects.filter(pk=documents[0].pk).delete()
    with collect(), committed():
        Document.counted.bulk_update(documents, ["title"])
    assert (recorded.total("changes"), recorded.total("pages")) == (2, 0)
    assert_metric_recorded(recorded, "app_metrics_dropped", total=2, labels={"reason": FAILED_RULE})
    assert "bulk_update() changed fewer rows than it was given" in caplog.text
    assert "or read the rows with select_for_update()" in caplog.text
    assert "change existing rows with bulk_update()" not in caplog.text


@pytest.mark.parametrize(
    "conflicts",
    [
        {"ignore_conflicts": True},
        {"update_conflicts": True, "unique_fields": ["id"], "update_fields": ["title"]},
    ],
    ids=["ignored", "updated"],
)
def test_rows_that_may_exist_already_are_dropped_as_unknown(conflicts, settings, recorded, committed, caplog):
    first = Document.objects.create(title="a")
    settings.APP_METRICS_MODELS = {"testapp.Document": {"created": "documents"}}
    with collect(), committed():
        Document.counted.bulk_create([Document(pk=first.pk, title="b"), Document(title="c")], **conflicts)
    assert Document.objects.count() == 2
    assert recorded.total("documents") == 0
    assert_metric_recorded(recorded, "app_metrics_dropped", total=1, labels={"reason": FAILED_RULE})
    assert "conflicts" in caplog.text


@pytest.mark.usefixtures("rules")
def test_an_error_of_the_database_counts_nothing(recorded, committed):
    first = Document.objects.create(title="a")
    with committed(), pytest.raises(IntegrityError):
        Document.counted.bulk_create([Document(title="b"), Document(pk=first.pk)])
    assert recorded.slugs == []


@pytest.mark.usefixtures("rules")
def test_disabled_rules_count_nothing(settings, recorded, committed):
    settings.APP_METRICS_DISABLED = True
    with committed():
        Document.counted.bulk_create(make(), ignore_conflicts=True)
        Document.counted.update(pages=2)
    settings.APP_METRICS_DISABLED = False
    assert recorded.slugs == []


def test_it_is_a_mixin_for_querysets_and_managers_of_a_project():
    class Own(models.QuerySet):
        def update(self, **values):
            return super().update(pages=5)

    class Both(CountedQuerySet, Own):
        pass

    class OwnManager(models.Manager):
        pass

    for manager in (Both.as_manager(), OwnManager.from_queryset(Both)()):
        manager.model = Document
        Document.objects.create(title="a")
        assert manager.filter(title="a").update() > 0
    assert set(Document.objects.values_list("pages", flat=True)) == {5}
