"""Model rules, on real saves and deletes."""

import gc
import logging
from decimal import Decimal
from unittest.mock import patch

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, models, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps

from app_metrics import collect
from app_metrics.contrib import model_rules
from app_metrics.testing.recorded import assert_metric_recorded
from tests.testapp.models import Document, Draft, Member, Notice, Order, Report, Tag

pytestmark = pytest.mark.django_db

DOCUMENT = "testapp.Document"


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """Run the callbacks that are pending until the test's transaction commits."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def count(settings, event, rule="events", model=DOCUMENT):
    settings.APP_METRICS_MODELS = {model: {event: rule}}


def created_updated_deleted():
    document = Document.objects.create(title="a")
    document.save()
    document.save()
    document.delete()


@pytest.mark.parametrize(
    ("event", "total"),
    [
        ("created", 1),
        ("updated", 2),
        ("deleted", 1),
        ("pre_save", 3),
        ("post_save", 3),
        ("pre_delete", 1),
        ("post_delete", 1),
    ],
)
def test_each_event_counts_its_own_signals(event, total, settings, recorded, committed):
    count(settings, event)
    with committed():
        created_updated_deleted()
    assert recorded.total("events") == total


@pytest.mark.parametrize("event", ["created", "updated", "pre_save", "post_save"])
def test_fixtures_are_not_counted(event, settings, recorded, committed, tmp_path):
    Document.objects.create(title="a")
    call_command("dumpdata", DOCUMENT, output=tmp_path / "documents.json")
    count(settings, event)
    with committed():
        call_command("loaddata", tmp_path / "documents.json", verbosity=0)
        Document.objects.all().delete()
        call_command("loaddata", tmp_path / "documents.json", verbosity=0)
    assert recorded.slugs == []


@pytest.mark.parametrize("method", ["get_or_create", "update_or_create"])
def test_only_the_call_that_creates_counts_as_created(method, settings, recorded, committed):
    count(settings, "created")
    with committed():
        getattr(Document.objects, method)(title="a", defaults={"pages": 1})
        getattr(Document.objects, method)(title="a", defaults={"pages": 2})
    assert recorded.total("events") == 1


def test_bulk_operations_that_send_no_signal_are_not_counted(settings, recorded, committed):
    settings.APP_METRICS_MODELS = {DOCUMENT: {"created": "events", "updated": "events", "deleted": "events"}}
    with committed():
        documents = Document.objects.bulk_create([Document(title="a"), Document(title="b")])
        Document.objects.bulk_update(documents, ["title"])
        Document.objects.update(pages=2)
    assert recorded.slugs == []


@pytest.mark.parametrize("model", [Document, Draft, Report, Notice])
def test_creating_a_proxy_or_child_counts_once_for_its_model(model, settings, recorded, committed):
    count(settings, "created", {"slug": "events", "labels": {"plan": "plan"}})
    with committed():
        model.objects.create(title="a", plan="pro")
    assert_metric_recorded(recorded, "events", total=1, labels={"plan": "pro"})


@pytest.mark.parametrize("event", ["updated", "pre_save", "post_save"])
@pytest.mark.parametrize("model", [Document, Draft, Report, Notice])
def test_saving_a_proxy_or_child_counts_once_for_its_model(model, event, settings, recorded, committed):
    document = model.objects.create(title="a")
    count(settings, event)
    with committed():
        document.save()
    assert recorded.total("events") == 1


def test_a_rule_on_a_child_covers_no_parent(settings, recorded, committed):
    settings.APP_METRICS_MODELS = {DOCUMENT: {"created": "documents"}, "testapp.Report": {"created": "reports"}}
    with committed():
        Document.objects.create(title="a")
        Report.objects.create(title="b")
    assert (recorded.total("documents"), recorded.total("reports")) == (2, 1)


@pytest.mark.parametrize("model", [Document, Draft, Report, Notice])
def test_deleting_a_proxy_or_child_counts_once_for_its_model(model, settings, recorded, committed):
    count(settings, "deleted")
    with committed():
        model.objects.create(title="a").delete()
    assert recorded.total("events") == 1


def test_a_rule_on_a_proxy_covers_the_proxy_alone(settings, recorded, committed):
    count(settings, "created", model="testapp.Draft")
    with committed():
        Document.objects.create(title="a")
        Draft.objects.create(title="b")
    assert recorded.total("events") == 1


@pytest.mark.parametrize("label", [DOCUMENT, "testapp.Document_tags"])
def test_m2m_changed_counts_the_rows_that_were_added_and_removed(label, settings, recorded, committed):
    document, tags = Document.objects.create(title="a"), [Tag.objects.create(name=name) for name in "abc"]
    count(settings, "m2m_changed", model=label)
    with committed():
        document.tags.add(*tags)
        document.tags.add(tags[0])
        document.tags.remove(tags[1])
    assert_metric_recorded(recorded, "events", total=4, count=2)


def test_m2m_changed_of_nothing_counts_nothing(settings, recorded, committed):
    document, tag = Document.objects.create(title="a"), Tag.objects.create(name="a")
    document.tags.add(tag)
    count(settings, "m2m_changed")
    with committed():
        document.tags.add()
        document.tags.set([tag])
        document.tags.clear()
    assert recorded.slugs == []


def pages(instance):
    return instance.pages


@pytest.mark.parametrize(("num", "total"), [(5, 5), ("pages", 12), (pages, 12), (f"{__name__}.pages", 12)])
def test_num_is_a_number_a_path_or_a_callable(num, total, settings, recorded, committed):
    count(settings, "created", {"slug": "events", "num": num})
    with committed():
        Document.objects.create(title="a", pages=12)
    assert_metric_recorded(recorded, "events", total=total, count=1)


@pytest.mark.parametrize(
    ("amount", "total"),
    [
        ("3.50", Decimal("3.50")),
        (" 3.50", Decimal("3.50")),
        (2.5, Decimal("2.5")),
        (Decimal("0.10"), Decimal("0.10")),
        (7, 7),
    ],
)
def test_num_is_the_assigned_value_converted_by_its_field(amount, total, settings, recorded, committed):
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "events", "num": "amount"}}}
    with committed():
        Order.objects.create(amount=amount)
    assert_metric_recorded(recorded, "events", total=total, count=1)


@isolate_apps("tests.testapp")
@pytest.mark.parametrize(("weight", "total"), [(2.5, Decimal("2.5")), ("0.1", Decimal("0.1")), (3, 3)])
def test_a_num_may_be_a_field_of_floats(weight, total, recorded):
    class Parcel(models.Model):
        weight = models.FloatField()

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return f"{self.weight}"

    with patch.object(model_rules.apps, "get_model", return_value=Parcel):
        rules = {"testapp.Parcel": {"created": {"slug": "events", "num": "weight"}}}
        ((_, _, (rule,)),), errors = model_rules.compile_models(rules)
    assert errors == []
    rule.fire(Parcel(weight=weight))
    assert_metric_recorded(recorded, "events", total=total, count=1)


def test_a_float_from_a_callable_is_rounded_to_nine_places(settings, recorded, committed):
    count(settings, "created", {"slug": "events", "num": lambda document: document.pages / 3})
    with committed():
        Document.objects.create(title="a", pages=1)
    assert_metric_recorded(recorded, "events", total=Decimal("0.333333333"))


def test_a_num_that_is_not_a_number_is_dropped_under_the_name_of_its_rule(settings, recorded, committed, caplog):
    count(settings, "created", {"slug": "events", "num": "title"})
    with committed(), collect():
        Document.objects.create(title="three")
    assert recorded.slugs == ["app_metrics_dropped"]
    assert "APP_METRICS_MODELS['testapp.Document']['created']: TypeError('The number of a rule must be" in caplog.text


def test_labels_follow_paths_methods_and_callables(settings, recorded, committed):
    labels = {"plan": "plan", "owner": "owner.get_username", "pages": pages, "title": "__str__"}
    count(settings, "created", {"slug": "events", "labels": labels})
    with committed():
        Document.objects.create(title="a", plan="pro", pages=7, owner=User.objects.create(username="ann"))
    assert_metric_recorded(recorded, "events", labels={"plan": "pro", "owner": "ann", "pages": "7", "title": "a"})


def test_a_deleted_instance_still_gives_its_labels(settings, recorded, committed):
    count(settings, "deleted", {"slug": "events", "labels": {"plan": "plan"}, "num": "pages"})
    with committed():
        Document.objects.create(title="a", plan="pro", pages=3).delete()
    assert_metric_recorded(recorded, "events", total=3, labels={"plan": "pro"})


def test_a_rule_counts_only_if_its_condition_holds(settings, recorded, committed):
    count(settings, "created", {"slug": "events", "when": lambda document: document.plan == "pro"})
    with committed():
        Document.objects.create(title="a")
        Document.objects.create(title="b", plan="pro")
    assert recorded.total("events") == 1


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("key", ["num", "when"])
def test_a_rule_that_raises_leaves_the_save_alone_is_counted_and_is_logged_once(
    key, strict, settings, recorded, committed, caplog
):
    def raise_error(instance):
        raise LookupError("no plan")

    settings.APP_METRICS_STRICT = strict
    count(settings, "created", [{"slug": "events", key: raise_error}, "others"])
    with caplog.at_level(logging.WARNING, "app_metrics"), committed(), collect():
        Document.objects.create(title="a")
        Document.objects.create(title="b")
    assert Document.objects.count() == 2
    assert_metric_recorded(recorded, "app_metrics_dropped", total=2, labels={"reason": "failed_rule"})
    assert_metric_recorded(recorded, "others", total=2)
    (record,) = caplog.records
    assert "APP_METRICS_MODELS['testapp.Document']['created']" in record.message


def test_an_atomic_block_that_rolls_back_counts_nothing_and_leaves_the_outer_one_alone(settings, recorded, committed):
    count(settings, "created")
    with committed():
        Document.objects.create(title="kept")
        with transaction.atomic():
            Document.objects.create(title="lost")
            transaction.set_rollback(True)
    assert recorded.total("events") == 1


def queries_of_deleting_tags():
    Tag.objects.create(pk=1, name="a")
    with CaptureQueriesContext(connection) as queries:
        Tag.objects.all().delete()
    return [query["sql"] for query in queries]


def test_deleting_other_models_stays_as_fast_as_it_was(settings):
    before = queries_of_deleting_tags()
    count(settings, "deleted")
    assert queries_of_deleting_tags() == before


def test_receivers_survive_garbage_collection(settings, recorded, committed):
    count(settings, "created", {"slug": "events", "num": lambda document: document.pages})
    gc.collect()
    with committed():
        Document.objects.create(title="a", pages=2)
    assert recorded.total("events") == 2


def listeners():
    return {name: len(signal.receivers) for name, (signal, _) in model_rules.EVENTS.items()}


def test_after_override_settings_nothing_remains_connected(settings):
    settings.APP_METRICS_MODELS = {}
    before = listeners()
    with override_settings(APP_METRICS_MODELS={DOCUMENT: dict.fromkeys(model_rules.EVENTS, "events")}):
        assert all(listeners()[name] > before[name] for name in before)
    assert listeners() == before


def test_override_settings_replaces_the_rules(settings, recorded, committed):
    count(settings, "created", "before")
    count(settings, "created", "after")
    with committed():
        Document.objects.create(title="a")
    assert recorded.slugs == ["after"]


@pytest.mark.parametrize("label", ["auth.User", "testapp.Member"])
def test_a_swapped_user_model_is_followed(label, settings, recorded, committed):
    settings.APP_METRICS_MODELS = {label: {"created": "events"}}
    settings.AUTH_USER_MODEL = "testapp.Member"
    with committed():
        Member.objects.create(name="ann")
    assert recorded.total("events") == 1


def test_no_model_of_the_app_itself_can_be_counted():
    own = {model._meta.label: {"created": "events"} for model in apps.get_app_config("app_metrics").get_models()}
    rules, errors = model_rules.compile_models(own)
    assert (rules, len(errors)) == ([], len(own))
    assert models.signals.post_save.has_listeners(Tag) is False


def test_disabled_rules_count_nothing_and_ask_nothing(settings, recorded, committed):
    settings.APP_METRICS_DISABLED = True
    count(settings, "created", {"slug": "events", "when": pytest.fail})
    with committed():
        Document.objects.create(title="a")
    assert recorded.slugs == []
