"""Metric sets declared in the settings: every mistake gets a hint, and valid sets become rows of their own."""

import subprocess
import sys
import threading
from io import StringIO

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.db.models.signals import m2m_changed

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import MetricSet
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.reports.declared_sets import DeclaredSet, compile_sets, declare, declare_after_migrating
from tests.support.processes import start

GROWTH = {"metrics": ["signups", "orders"], "recipients": ["team@example.com"], "send": ["daily", "weekly"]}
PROCESSES = 4


def growth(**changes):
    return {"Growth": {**GROWTH, **changes}}


# The setting, part of the message, and part of the hint.
MISTAKES = [
    (["Growth"], "APP_METRICS_SETS is ['Growth'], which is not a mapping", 'Write it like this: {"Growth": {'),
    (None, "APP_METRICS_SETS is None, which is not a mapping", 'Write it like this: {"Growth": {'),
    ({"": GROWTH}, "[''] has an invalid name", "1 to 200 characters"),
    ({"  ": GROWTH}, "['  '] has an invalid name", "1 to 200 characters"),
    ({"Growth ": GROWTH}, "['Growth '] has an invalid name", "without spaces at its ends"),
    ({"x" * 201: GROWTH}, "has an invalid name", "1 to 200 characters"),
    ({5: GROWTH}, "has the key 5, which is not a str", "Write it like this"),
    ({"Growth": GROWTH, "growth": GROWTH}, "['growth'] differs from 'Growth' only in case", "Rename one of them"),
    ({"Growth": "signups"}, "['Growth'] is 'signups', which is not a mapping", "Write it like this"),
    (growth(metric=["signups"]), "['Growth'] has the unknown key 'metric'", "Did you mean 'metrics'?"),
    ({"Growth": {**GROWTH, 5: 5}}, "has the unknown key 5", "Choose one of metrics, ratios, recipients, send."),
    ({"Growth": {"send": ["daily"]}}, "['Growth'] has no metrics", 'Add "metrics": ["…"]'),
    (growth(metrics=[]), "['Growth'] has no metrics", 'Add "metrics": ["…"]'),
    (growth(metrics="signups"), "has metrics='signups', which is not a list", "Give a list of slugs."),
    (growth(metrics=None), "has metrics=None, which is not a list", "Give a list of slugs."),
    (growth(metrics=iter(["signups"])), "which is not a list", "Give a list of slugs."),
    (growth(metrics={"signups": 1}), "which is not a list", "Give a list of slugs."),
    (growth(metrics=["signups", "no slug"]), "has a bad slug: 'no slug'", "Use a slug such as 'no-slug'."),
    (growth(metrics=[["signups"]]), "has a bad slug: A slug must be a str, not list", "Use a slug such as 'signups'"),
    (growth(metrics=["x" * 101]), "has a bad slug: 'xxx", "Use a slug such as 'xxx"),
    (growth(recipients="team@example.com"), "has recipients='team@example.com', which is not a list", "List e-mail"),
    (growth(recipients=["team"]), "has the recipient 'team'", 'Give an e-mail address: "team@example.com".'),
    (
        growth(recipients=["a@example.com\nb@example.com"]),
        r"has the recipient 'a@example.com\nb@",
        "Give an e-mail address",
    ),
    (growth(recipients=[None]), "has the recipient None", "Give an e-mail address"),
    (growth(recipients=[["@"]]), "has the recipient ['@']", "Give an e-mail address"),
    (growth(send=[]), "has recipients, but no send", "some of daily, weekly, monthly"),
    (growth(recipients=[]), "has send, but no recipients", "e-mail addresses"),
    (growth(send="daily"), "has send='daily', which is not a list", "List some of daily, weekly, monthly."),
    (growth(send=["weekly", "dayly"]), "has send='dayly'", "Did you mean 'daily'?"),
    (growth(send=["hourly"]), "has send='hourly'", "daily"),
    (growth(send=[True]), "has send=True", "Choose one of daily, monthly, weekly."),
]


@pytest.mark.parametrize(("value", "message", "hint"), MISTAKES)
def test_a_mistake_is_explained_with_a_remedy(value, message, hint):
    sets, (error,) = compile_sets(value)
    assert message in str(error)
    assert hint in error.hint
    assert error.code == "E017"
    assert len(sets) == (value == {"Growth": GROWTH, "growth": GROWTH})


def test_a_mistake_in_one_entry_leaves_the_others_right():
    sets, errors = compile_sets({"Bad": {}, **growth(), "Worse": None})
    assert sets == [DeclaredSet("Growth", ["signups", "orders"], ("team@example.com",), ["daily", "weekly"])]
    assert [str(error).partition("]")[0] for error in errors] == [
        "APP_METRICS_SETS['Bad'",
        "APP_METRICS_SETS['Worse'",
    ]


def test_a_declared_set_needs_only_metrics_in_any_collection():
    sets, errors = compile_sets(
        {"A": {"metrics": {"signups"}}, "B": {**GROWTH, "metrics": ("signups",), "send": ("daily",)}}
    )
    assert errors == []
    assert [(each.name, each.metrics, each.recipients, each.send) for each in sets] == [
        ("A", ["signups"], (), []),
        ("B", ["signups"], ("team@example.com",), ["daily"]),
    ]


def shown():
    """Return declared, addresses, periods and slugs of each stored set, by name."""
    return {
        each.name: (
            each.declared,
            each.email_addresses.splitlines(),
            each.periods,
            sorted(each.metrics.values_list("slug", flat=True)),
        )
        for each in MetricSet.objects.all()
    }


@pytest.fixture
def metrics(database):
    return [create_metric(slug.title(), slug) for slug in ("orders", "signups")]


def test_a_declared_set_is_created(metrics, settings):
    settings.APP_METRICS_SETS = growth(recipients=["team@example.com", "boss@example.com"])
    declare()
    addresses = ["team@example.com", "boss@example.com"]
    assert shown() == {"Growth": (True, addresses, ["day", "week"], ["orders", "signups"])}


def test_declaring_the_same_sets_again_changes_nothing(metrics, settings):
    settings.APP_METRICS_SETS = growth()
    declare()
    before = shown(), MetricSet.objects.get().pk, list(MetricSet.metrics.through.objects.values_list("pk", flat=True))
    declare()
    after = shown(), MetricSet.objects.get().pk, list(MetricSet.metrics.through.objects.values_list("pk", flat=True))
    assert after == before


def test_a_change_of_the_settings_changes_the_declared_set(metrics, settings):
    settings.APP_METRICS_SETS = growth()
    declare()
    pk = MetricSet.objects.get().pk
    settings.APP_METRICS_SETS = growth(metrics=["orders"], recipients=["new@example.com"], send=["monthly"])
    declare()
    assert shown() == {"Growth": (True, ["new@example.com"], ["month"], ["orders"])}
    assert MetricSet.objects.get().pk == pk


def test_sets_of_the_admin_are_left_alone(metrics, settings):
    user = User.objects.create(username="ann", email="ann@example.com")
    mine = create_metric_set("Mine", metrics[:1], [user, "me@example.com"], send_monthly=True)
    settings.APP_METRICS_SETS = growth()
    declare()
    settings.APP_METRICS_SETS = {}
    declare()
    assert shown()["Mine"] == (False, ["me@example.com"], ["day", "month"], ["orders"])
    assert list(mine.email_recipients.all()) == [user]


def test_a_set_of_the_admin_with_the_name_of_a_declared_set_becomes_declared(metrics, settings):
    user = User.objects.create(username="ann", email="ann@example.com")
    mine = create_metric_set("Growth", metrics[:1], [user, "me@example.com"], send_monthly=True)
    settings.APP_METRICS_SETS = growth()
    declare()
    assert shown() == {"Growth": (True, ["team@example.com"], ["day", "week"], ["orders", "signups"])}
    assert MetricSet.objects.get().pk == mine.pk
    assert not mine.email_recipients.exists()


def test_a_set_that_left_the_settings_stays_and_sends_nothing(metrics, settings):
    settings.APP_METRICS_SETS = {**growth(), "Other": {**GROWTH, "send": ["monthly"]}}
    declare()
    settings.APP_METRICS_SETS = {"Other": {**GROWTH, "send": ["monthly"]}}
    declare()
    assert shown() == {
        "Growth": (False, ["team@example.com"], [], ["orders", "signups"]),
        "Other": (True, ["team@example.com"], ["month"], ["orders", "signups"]),
    }


@pytest.mark.parametrize(
    "changes",
    [{}, {"send": ["monthly"]}, {"recipients": ["new@example.com", "Team@example.com"]}],
    ids=str,
)
def test_a_set_that_is_renamed_in_the_settings_stays_the_same_set(changes, metrics, settings):
    settings.APP_METRICS_SETS = growth()
    declare()
    pk = MetricSet.objects.get().pk
    settings.APP_METRICS_SETS = {"Grown": {**GROWTH, **changes}}
    declare()
    assert MetricSet.objects.get().pk == pk
    settings.APP_METRICS_SETS = growth(**changes)
    renamed = shown()["Grown"]
    declare()
    assert shown() == {"Growth": renamed}


@pytest.mark.parametrize(
    "entries",
    [
        {"Grown": {**GROWTH, "metrics": ["orders"]}},  # one is gone
        {"Grown": {**GROWTH, "recipients": ["new@example.com"]}},
        {"Grown": {"metrics": GROWTH["metrics"]}},
        {"Grown": GROWTH, **growth()},
    ],
    ids=["other metrics", "other recipients", "no recipients", "the old name is used"],
)
def test_a_set_under_a_new_name_is_another_set_unless_it_is_recognised(entries, metrics, settings):
    settings.APP_METRICS_SETS = growth()
    declare()
    pk = MetricSet.objects.get().pk
    settings.APP_METRICS_SETS = entries
    declare()
    assert MetricSet.objects.get(name="Growth").pk == pk
    assert MetricSet.objects.get(name="Grown").pk != pk


def test_a_renamed_set_is_recognised_though_a_metric_was_recorded_since(database, settings):
    create_metric("Orders", "orders")
    settings.APP_METRICS_SETS = growth(metrics=["orders", "late"])
    declare()
    pk = MetricSet.objects.get().pk
    create_metric("Late", "late")
    settings.APP_METRICS_SETS = {"Grown": {**GROWTH, "metrics": ["orders", "late"]}}
    declare()
    assert MetricSet.objects.get(name="Grown").pk == pk


def test_sets_without_any_recorded_metric_are_not_taken_for_each_other(database, settings):
    settings.APP_METRICS_SETS = growth(metrics=["first"])
    declare()
    settings.APP_METRICS_SETS = {"Grown": {**GROWTH, "metrics": ["second"]}}
    declare()
    assert MetricSet.objects.count() == 2


def test_of_several_renamed_sets_each_keeps_its_own_recipients(metrics, settings):
    recipients = {"All": ["boss@example.com", "team@example.com"], "Team": ["team@example.com"]}
    settings.APP_METRICS_SETS = {name: {**GROWTH, "recipients": each} for name, each in recipients.items()}
    declare()
    before = dict(MetricSet.objects.values_list("email_addresses", "pk"))
    settings.APP_METRICS_SETS = {f"New {name}": {**GROWTH, "recipients": recipients[name]} for name in ("Team", "All")}
    declare()
    assert dict(MetricSet.objects.values_list("email_addresses", "pk")) == before
    assert set(shown()) == {"New All", "New Team"}


def test_a_set_of_the_admin_is_never_renamed(metrics, settings):
    create_metric_set("Mine", metrics, ["team@example.com"])
    settings.APP_METRICS_SETS = growth()
    declare()
    assert set(shown()) == {"Growth", "Mine"}


@pytest.mark.parametrize(
    "mistaken",
    [growth(send=["dayly"]), {"Growth": None}, ["Growth"], None, "Growth"],
    ids=lambda value: repr(value)[:20],
)
def test_a_mistake_changes_nothing(mistaken, metrics, settings):
    settings.APP_METRICS_SETS = growth()
    declare()
    before = shown()
    settings.APP_METRICS_SETS = mistaken
    declare()
    assert shown() == before


def test_a_mistaken_entry_keeps_no_other_from_being_copied(metrics, settings):
    settings.APP_METRICS_SETS = {5: GROWTH, **growth(), None: None, ("a",): GROWTH, "Bad": {"metrics": "orders"}}
    declare()
    assert list(shown()) == ["Growth"]


def test_metrics_join_a_declared_set_once_they_are_recorded(database, settings):
    settings.APP_METRICS_SETS = growth()
    declare()
    assert shown()["Growth"][3] == []
    for slug in ("signups", "Orders", "other"):
        metric(slug)
        aggregate()
        declare()
    assert shown()["Growth"][3] == ["signups"]
    metric("orders")
    aggregate()
    declare()
    assert shown()["Growth"][3] == ["orders", "signups"]


def test_an_error_in_between_leaves_the_set_as_it_was(metrics, settings):
    settings.APP_METRICS_SETS = growth(metrics=["orders"])
    declare()
    before = shown()
    settings.APP_METRICS_SETS = growth(send=["monthly"])

    def fail(**kwargs):
        raise ConnectionError("the plug was pulled")

    m2m_changed.connect(fail, sender=MetricSet.metrics.through)
    try:
        with pytest.raises(ConnectionError):
            declare()
    finally:
        m2m_changed.disconnect(fail, sender=MetricSet.metrics.through)
    assert shown() == before


def test_threads_that_declare_sets_at_once_create_each_set_once(transactional_database, settings):
    for slug in GROWTH["metrics"]:
        create_metric(slug, slug)
    names = [f"Set {number}" for number in range(5)]
    settings.APP_METRICS_SETS = dict.fromkeys(names, GROWTH)
    barrier, errors = threading.Barrier(PROCESSES), []

    def work():
        try:
            barrier.wait()
            for _ in range(3):
                declare()
        except Exception as error:
            errors.append(error)
        finally:
            connections[transactional_database].close()

    threads = [threading.Thread(target=work) for _ in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert shown() == dict.fromkeys(names, (True, ["team@example.com"], ["day", "week"], ["orders", "signups"]))


@pytest.mark.slow
def test_processes_with_old_and_new_settings_do_not_block_each_other(transactional_database):
    """This happens while a new release is rolled out."""
    for slug in GROWTH["metrics"]:
        create_metric(slug, slug)
    processes = [
        start("tests.support.declaring", transactional_database, release, 20, stderr=subprocess.PIPE)
        for release in ("old", "new", "old", "new")
    ]
    answers = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert answers == [("", 0)] * 4
    assert set(shown()) - {"old", "new"} == {"A", "B"}


# Right after `migrate`


def test_declared_sets_are_there_as_soon_as_migrate_ran(metrics, database, settings):
    settings.APP_METRICS_SETS = growth()
    call_command("migrate", database=database, verbosity=0)
    assert list(shown()) == ["Growth"]


def test_a_plan_of_migrations_copies_nothing(metrics, database, settings):
    settings.APP_METRICS_SETS = growth()
    call_command("migrate", database=database, plan=True, stdout=StringIO())
    assert shown() == {}


@pytest.mark.django_db
def test_migrating_another_database_copies_nothing(settings, django_assert_num_queries):
    settings.APP_METRICS_SETS = growth()
    with django_assert_num_queries(0):
        declare_after_migrating(using="elsewhere", sender=apps.get_app_config("app_metrics"))
    settings.DATABASE_ROUTERS = []
    settings.APP_METRICS_DATABASE = "elsewhere"
    with django_assert_num_queries(0):
        declare_after_migrating(using="default", sender=apps.get_app_config("app_metrics"))
    settings.APP_METRICS_DATABASE = "default"
    settings.DATABASE_ROUTERS = [f"{__name__}.Elsewhere"]
    with django_assert_num_queries(0):
        declare_after_migrating(using="default", sender=apps.get_app_config("app_metrics"))


class Elsewhere:
    def db_for_write(self, model, **hints):
        return "elsewhere"


MIGRATING = """
import sys
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "app_metrics"],
    APP_METRICS_SETS={"Growth": {"metrics": ["orders"]}},
    USE_TZ=True,
)
django.setup()
from app_metrics.models import MetricSet

for target in (["app_metrics", "0001"], [], ["app_metrics", "0001"], ["app_metrics", "zero"], []):
    call_command("migrate", *target, verbosity=0)
print(MetricSet.objects.get())
"""


@pytest.mark.slow
def test_migrating_back_and_forth_works_on_older_tables(tmp_path):
    command = [sys.executable, "-c", MIGRATING, str(tmp_path / "site.sqlite3")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("Growth\n", "", 0)
