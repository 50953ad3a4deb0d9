"""What axe-core, a checker of accessibility, finds on the pages of the dashboard."""

import pytest
from selenium_axe_python import Axe

from scripts.browser import Browser
from tests.soak.browser.conftest import Site

ADMIN = "/admin/app_metrics"
DASHBOARD = f"{ADMIN}/dashboard/"
PAGES = {
    "overview": DASHBOARD,
    "nothing found": f"{DASHBOARD}?q=nothing+like+this",
    "counter": f"{DASHBOARD}metric/orders/",
    "split": f"{DASHBOARD}metric/items_sold/?split=plan&range=91d",
    "timer": f"{DASHBOARD}metric/checkout_seconds/?range=7d",
    "gauge": f"{DASHBOARD}metric/stock/",
    "bad dates": f"{DASHBOARD}metric/orders/?start=2026-13-01",
    "health": f"{DASHBOARD}health/",
    "unused": f"{DASHBOARD}unused/",
    "metrics": f"{ADMIN}/metric/",
    "metric sets": f"{ADMIN}/metricset/",
    "report": f"{ADMIN}/metricset/1/report/week/",
    "annotations": f"{ADMIN}/annotation/",
    "alerts": f"{ADMIN}/alert/",
    "pending items": f"{ADMIN}/item/",
}


def findings(browser: Browser) -> list[str]:
    """Return what axe-core finds among the contents of the page; Django answers for what is around them."""
    axe = Axe(browser.driver)
    axe.inject()
    found = axe.run("'#content'")["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_barrier_that_axe_finds(browser: Browser, site: Site, page: str, scheme: str) -> None:
    browser.be(scheme=scheme)
    browser.open(site.url(PAGES[page]))
    assert findings(browser) == []


def test_axe_finds_a_barrier(browser: Browser, site: Site) -> None:
    """This proves that the other tests can fail."""
    browser.open(site.url(DASHBOARD))
    browser.run("document.querySelector('#content').append(document.createElement('img'))")
    assert [each.split(":")[0] for each in findings(browser)] == ["image-alt"]
