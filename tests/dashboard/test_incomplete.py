"""If the backend's destination does not answer, every page says that numbers are missing."""

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.urls import reverse

from app_metrics.api import views
from app_metrics.models import pending
from app_metrics.models.creation import create_metric
from app_metrics.transport.loading import replaced_backend
from tests.models.test_pending import Destination, batch

NOTE = "pending batches could not be read"
PAGES = [
    reverse("admin:app_metrics_dashboard_changelist"),
    reverse("admin:app_metrics_dashboard_health"),
    reverse("admin:app_metrics_dashboard_metric", args=["orders"]),
]


@pytest.fixture
def destination(database):
    create_metric("Orders", "orders")
    backend = Destination(batch(4), batch(1, labels='{"plan":"pro"}'))
    with replaced_backend(backend):
        yield backend


@pytest.mark.parametrize("page", PAGES)
def test_a_page_mentions_incomplete_numbers_only_if_the_backend_is_down(destination, admin_client, page, monkeypatch):
    assert NOTE not in admin_client.get(page).content.decode()
    monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
    destination.is_down = True
    response = admin_client.get(page)
    assert response.status_code == 200
    assert NOTE in response.content.decode()


def test_health_says_how_much_waits_elsewhere(destination, admin_client):
    page = admin_client.get(reverse("admin:app_metrics_dashboard_health")).content.decode()
    assert "<dt>Pending summaries at the backend&#x27;s destination</dt><dd>2</dd>" in page.replace("'", "&#x27;")
    assert "<dt>Pending batches at the backend&#x27;s destination</dt><dd>2</dd>" in page.replace("'", "&#x27;")
    assert "<dt>Pending items in the database</dt><dd>0</dd>" in page
    assert "journal" not in page


@override_settings(ROOT_URLCONF="tests.support.api_urls")
@pytest.mark.parametrize(
    ("address", "summary_of"),
    [
        ("totals/?period=day&date=2026-05-31", lambda answer: answer["summary"]),
        ("series/?period=day&start=2026-05-31&end=2026-05-31", lambda answer: answer["results"][0]),
    ],
)
def test_the_api_says_whether_its_numbers_are_complete(address, summary_of, destination, admin_client, monkeypatch):
    address = f"/stats/api/metrics/orders/{address}"
    answer = admin_client.get(address).json()
    assert (answer["complete"], summary_of(answer)["total"]) == (True, "5")
    monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
    destination.is_down = True
    answer = admin_client.get(address).json()
    assert (answer["complete"], summary_of(answer)["total"]) == (False, "0")


@override_settings(ROOT_URLCONF="tests.support.api_urls")
def test_prometheus_gets_no_counter_that_falls(destination, admin_client, monkeypatch):
    pytest.importorskip("prometheus_client")
    address = reverse("app_metrics:prometheus")
    assert "orders_total 4.0" in admin_client.get(address).content.decode()
    monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
    destination.is_down = True
    assert admin_client.get(address).status_code == 503


def test_a_dry_run_shows_pending_items_of_the_backend(destination, capsys, monkeypatch):
    call_command("metrics_aggregate", "--dry-run")
    assert "2 of them are not in the database yet." in capsys.readouterr().out
    monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
    destination.is_down = True
    call_command("metrics_aggregate", "--dry-run")
    assert NOTE in capsys.readouterr().err


@override_settings(ROOT_URLCONF="tests.support.api_urls")
def test_prometheus_gets_no_falling_counter_if_the_backend_recovers_meanwhile(destination, admin_client, monkeypatch):
    """The destination is asked again ten seconds after a failure, which may be while the text is rendered."""
    monkeypatch.setattr(pending, "RETRY_AFTER", 3600)
    create_metric("Orders", "orders")
    destination.is_down = True
    address = reverse("app_metrics:prometheus")
    assert admin_client.get(address).status_code == 503
    destination.is_down = False

    def slowly(accept, real=views.latest):
        text = real(accept)
        monkeypatch.setattr(pending, "_latest", pending._latest._replace(until=0))
        return text

    monkeypatch.setattr(views, "latest", slowly)
    assert admin_client.get(address).status_code == 503
