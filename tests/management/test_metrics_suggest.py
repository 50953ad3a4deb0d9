"""`metrics_suggest`: what it prints works in the settings, and it replaces no file."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from app_metrics.suggestions.present import present
from app_metrics.suggestions.proposals import MODELS, URLS, Proposal
from app_metrics.suggestions.suggest import Suggestions
from tests.management.conftest import SETTINGS

VISITS = Proposal(URLS, "*", "visits", "all requests", "shop")
ORDERS = Proposal(
    MODELS, "shop.Order", "orders", "it has a date", "shop", event="created", more={"backfill": "placed_at"}
)

VISIT = """
import django

django.setup()

from django.contrib.auth.models import User
from django.test import Client
from app_metrics.testing import capture_metrics
from example_project.shop.models import Order

with capture_metrics() as recorded:
    Client().get("/nowhere/")
    Client().get("/")
    user = User.objects.create_user("ann")
    Order.objects.create(customer=user, plan="single", quantity=2, amount=5)
print(" ".join(sorted(recorded.slugs)))
"""


def test_the_block_pasted_into_the_settings_passes_the_checks_and_counts(site, tmp_path):
    block = site("-m", "django", "metrics_suggest")
    (tmp_path / "site_settings.py").write_text(SETTINGS + block)
    assert site("-m", "django", "check", "--database=default") == "System check identified no issues (0 silenced).\n"
    counted = {"not_found", "order_amount", "order_quantity", "orders", "requests", "signups"}
    assert counted <= {*site("-c", VISIT).split()}
    assert site("-m", "django", "metrics_suggest") == "", "what is there is not proposed again"


def test_the_written_module_is_imported_by_the_printed_lines(site, tmp_path):
    printed = site("-m", "django", "metrics_suggest", "--write=app_metrics_rules.py")
    _, _, lines = printed.partition("settings:\n\n")
    (tmp_path / "site_settings.py").write_text(SETTINGS + lines)
    assert site("-m", "django", "check") == "System check identified no issues (0 silenced).\n"
    written = (tmp_path / "app_metrics_rules.py").read_text()
    site("-m", "django", "metrics_suggest", "--write=app_metrics_rules.py", "--overwrite")
    assert (tmp_path / "app_metrics_rules.py").read_text() == written


@pytest.mark.parametrize(
    ("proposals", "line"),
    [
        (
            [],
            (
                "There is nothing to propose: what this command looks for is counted already, or the project does not "
                "have it.\n"
            ),
        ),
        ([VISITS], "1 proposal.\n"),
        (
            [VISITS, ORDERS],
            "2 proposals. Once the settings use them, manage.py metrics_start fills in the past and verifies it.\n",
        ),
    ],
)
@pytest.mark.django_db
def test_it_says_how_to_fill_in_the_past_if_a_proposal_has_one(proposals, line, monkeypatch):
    found = Suggestions(proposals, present({}))
    monkeypatch.setattr("app_metrics.management.commands.metrics_suggest.suggest", lambda: found)
    errors = StringIO()
    call_command("metrics_suggest", stdout=StringIO(), stderr=errors)
    assert errors.getvalue() == line


@pytest.mark.parametrize("old", [None, "APP_METRICS_AUTH = True\n"])
@pytest.mark.django_db
def test_without_proposals_no_module_is_written(old, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "app_metrics_rules.py"
    if old:
        path.write_text(old)
    monkeypatch.setattr(
        "app_metrics.management.commands.metrics_suggest.suggest", lambda *given: Suggestions([], present({}))
    )
    out, errors = StringIO(), StringIO()
    call_command("metrics_suggest", write=path, overwrite=True, stdout=out, stderr=errors)
    assert out.getvalue() == ""
    assert errors.getvalue().endswith(f"{path} was not written.\n")
    assert (path.read_text() if path.exists() else None) == old


@pytest.mark.django_db
def test_an_existing_file_is_not_replaced_without_being_told(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "app_metrics_rules.py"
    path.write_text("APP_METRICS_AUTH = True\n")
    with pytest.raises(CommandError, match=r"exists\. Give --overwrite to replace it"):
        call_command("metrics_suggest", write=path)
    assert path.read_text() == "APP_METRICS_AUTH = True\n"


@pytest.mark.parametrize("name", ["rules.txt", "app-metrics.py"])
def test_a_file_that_cannot_be_imported_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CommandError, match="cannot be imported"):
        call_command("metrics_suggest", write=tmp_path / name)


def test_overwrite_without_a_file_is_refused():
    with pytest.raises(CommandError, match="only with --write"):
        call_command("metrics_suggest", overwrite=True, stdout=StringIO())
