"""`metrics_start`: from nothing to verified totals in one command, which asks first."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone
from freezegun import freeze_time

from app_metrics import metric
from app_metrics.management.commands import metrics_start
from app_metrics.models import MetricSet
from app_metrics.models.creation import create_metric
from app_metrics.suggestions.present import present
from app_metrics.suggestions.suggest import Suggestions
from tests.management.conftest import SETTINGS
from tests.testapp.models import Order

ADD_ROWS = """
import django

django.setup()

from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from example_project.shop.models import Order

user = User.objects.create_user("ann")
for days in (1, 2, 400):
    order = Order.objects.create(customer=user, plan="single", quantity=2, amount=5)
    Order.objects.filter(pk=order.pk).update(created_at=timezone.now() - timedelta(days=days))
"""
RULES = """
APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
"""


@pytest.fixture
def start(tmp_path, monkeypatch, settings):
    """Return a function that runs the command with a module of rules; its lines, and its error or None."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "app_metrics_rules.py"
    path.write_text(RULES)

    def run(**options):
        out, run.errors = StringIO(), StringIO()
        options = {"interactive": False, "stderr": run.errors, **options}
        try:
            call_command("metrics_start", write=path, stdout=out, **options)
        except CommandError as error:
            return out.getvalue().splitlines(), str(error)
        return out.getvalue().splitlines(), None

    run.path = path
    return run


def add_orders(*days):
    return [Order.objects.create(placed_at=timezone.now() - timedelta(days=number)) for number in days]


def test_a_site_with_rows_gets_rules_and_verified_totals(site, tmp_path):
    site("-c", ADD_ROWS)
    site("-m", "django", "migrate", "app_metrics", "zero", "--verbosity=0")
    printed = site("-m", "django", "metrics_start", "--no-input")
    assert "orders: 3 rows read, 3 events added up to " in printed
    assert "order_amount: all days agree with the rows\n" in printed
    assert "The dashboard: http://127.0.0.1:8000/admin/app_metrics/dashboard/\n" in printed
    (tmp_path / "site_settings.py").write_text(SETTINGS + "from app_metrics_rules import *\n")
    assert site("-m", "django", "metrics_verify").count("all days agree") == printed.count("all days agree")
    assert "settings" not in site("-m", "django", "metrics_start", "--no-input")


@pytest.mark.django_db(transaction=True)
def test_it_says_what_to_paste_while_the_settings_do_not_use_the_rules(start, settings):
    assert "from app_metrics_rules import *  # noqa: F403" in start()[0]
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    assert not [line for line in start()[0] if "settings" in line]


@pytest.mark.django_db(transaction=True)
def test_the_metrics_are_in_a_set_that_is_not_mailed_and_a_second_run_keeps_it(start):
    add_orders(1, 2)
    start()
    first = MetricSet.objects.get(name="First metrics")
    assert [metric.slug for metric in first.metrics.all()] == ["orders"]
    assert not any((first.send_daily, first.send_weekly, first.send_monthly))
    assert start()[0][0].startswith("orders: 0 rows read, 0 events added up to ")
    assert MetricSet.objects.get() == first


@pytest.mark.django_db(transaction=True)
def test_it_says_that_a_table_has_no_rows(start):
    assert start()[0][0] == "orders: there are no rows to fill it from"


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.support.rule_urls")
def test_without_the_admin_it_says_how_to_see_the_dashboard(start):
    assert "The dashboard is a page of the admin: to see it, add the admin to the URLs of the project." in start()[0]


@pytest.mark.django_db(transaction=True)
def test_it_says_why_rows_of_the_running_hour_are_not_added(start):
    with freeze_time("2026-11-23 12:30"):
        add_orders(0, 1)
        lines = start()[0]
    # In the time zone of the tests, Europe/Berlin.
    assert lines[0] == "orders: 2 rows read, 1 event added up to 2026-11-23 13:00"
    assert (
        lines[1] == "Rows after these times belong to an hour or a day that is not over. A later run adds their events."
    )


@pytest.mark.django_db(transaction=True)
def test_it_says_nothing_about_later_rows_that_were_counted_live(start):
    with freeze_time("2026-11-23 09:30"):
        add_orders(0)
        start()
    with freeze_time("2026-11-23 10:30"):
        metric("orders")
    with freeze_time("2026-11-23 12:30"):
        lines = start()[0]
    assert lines[0] == "orders: 1 row read, 1 event added up to 2026-11-23 12:00"
    assert not [line for line in lines if "later run" in line]


@pytest.mark.django_db(transaction=True)
def test_without_proposals_it_writes_no_module_and_fills_what_the_settings_count(start, settings, monkeypatch):
    add_orders(1)
    settings.APP_METRICS_MODELS = {"testapp.Order": {"created": {"slug": "orders", "backfill": "placed_at"}}}
    start.path.unlink()
    monkeypatch.setattr(metrics_start, "suggest", lambda: Suggestions([], present({})))
    assert start()[0][0].startswith("orders: 1 row read, 1 event added up to ")
    assert not start.path.exists()


@pytest.mark.parametrize(
    ("rules", "mistake"),
    [
        (RULES.replace("placed_at", "plced_at"), "refers to 'plced_at', which testapp.Order does not have. Did you"),
        ("APP_METRICS_MODELS = []", "APP_METRICS_MODELS is []"),
        ("APP_METRICS_URLS = {'*': {'slug': 'requests', 'staus': [200]}}", "has the unknown key 'staus'"),
        ("APP_METRICS_AUTH = {'events': ['signup']}", "APP_METRICS_AUTH has the unknown event"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_a_mistake_in_the_edited_rules_is_named_and_nothing_is_done(start, rules, mistake):
    add_orders(1)
    start.path.write_text(rules)
    lines, error = start()
    assert lines == []
    assert error.startswith("The rules have a mistake. ")
    assert mistake in error
    assert not MetricSet.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_mistake_in_the_rules_of_the_settings_is_named(start, settings):
    settings.APP_METRICS_MODELS = {"testapp.Oder": {"created": "orders"}}
    assert "APP_METRICS_MODELS['testapp.Oder']" in start()[1]


@pytest.mark.django_db(transaction=True)
def test_totals_that_differ_are_named_and_it_fails(start):
    add_orders(1)
    start()
    Order.objects.all().delete()
    add_orders(5)
    lines, error = start()
    assert "orders: 2 days differ from the rows" in lines
    assert error == "orders differs from its rows: run metrics_verify to see the days."


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("answer", ["", "n"])
def test_nothing_changes_without_a_yes(start, monkeypatch, answer):
    start.path.unlink()
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    lines, error = start(interactive=True)
    assert (lines[0], lines[-1], error) == ("This command will", "Nothing was changed.", None)
    assert not start.path.exists()
    assert not MetricSet.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_where_nobody_can_answer_it_says_so(start, monkeypatch):
    def nobody(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert start(interactive=True)[1] == "There is nobody to ask. Give --no-input to go ahead."


@pytest.mark.django_db(transaction=True)
def test_a_disabled_site_is_not_filled(start, settings):
    add_orders(1)
    settings.APP_METRICS_DISABLED = True
    assert "APP_METRICS_DISABLED is True" in start()[1]
    assert not MetricSet.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_module_that_fails_is_named(start):
    start.path.write_text("1 / 0\n")
    assert "could not be read: ZeroDivisionError" in start()[1]


@pytest.mark.django_db(transaction=True)
def test_what_could_not_be_looked_at_is_named(start, monkeypatch):
    start.path.unlink()
    notes = ["testapp.Order: could not be looked at: no such table"]
    monkeypatch.setattr(metrics_start, "suggest", lambda: Suggestions([], present({}), notes))
    start()
    assert start.errors.getvalue() == f"{notes[0]}\n"


@pytest.mark.django_db(transaction=True)
def test_a_missing_table_of_the_project_is_named_with_what_to_do(start, monkeypatch):
    def fail(*args, **options):
        raise OperationalError("no such table: shop_book")

    monkeypatch.setattr(metrics_start, "backfill", fail)
    assert start()[1] == (
        "It stopped: no such table: shop_book. If a table is missing, run manage.py migrate. "
        "Then run the command again to continue."
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("interrupted", ["builtins.input", "app_metrics.management.commands.metrics_start.backfill"])
def test_it_can_be_interrupted(start, monkeypatch, interrupted):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupted, interrupt)
    assert start(interactive="input" in interrupted)[1] == "Interrupted. Run the command again to continue."


@pytest.mark.django_db(transaction=True)
def test_a_metric_that_cannot_be_filled_keeps_no_other_from_it(start):
    start.path.write_text(
        'APP_METRICS_MODELS = {"testapp.Order": {"created": ['
        '{"slug": "load", "backfill": "placed_at"}, {"slug": "orders", "backfill": "placed_at"}]}}\n'
    )
    create_metric("load", "load", "gauge")
    add_orders(2)
    lines, error = start()
    assert "orders: all days agree with the rows" in lines
    assert error.startswith("load was not filled: ")
