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
    "timer by day": f"{DASHBOARD}metric/checkout_seconds/",
    "gauge": f"{DASHBOARD}metric/stock/",
    "bad dates": f"{DASHBOARD}metric/orders/?start=2026-13-01",
    "health": f"{DASHBOARD}health/",
    "unused": f"{DASHBOARD}unused/",
    "metrics": f"{ADMIN}/metric/",
    "metric sets": f"{ADMIN}/metricset/",
    "report": f"{ADMIN}/metricset/1/report/week/",
    "annotations": f"{ADMIN}/annotation/",
    "alerts": f"{ADMIN}/alert/",
    "new metric": f"{ADMIN}/metric/add/",
    "form of a metric": f"{ADMIN}/metric/1/change/",
    "new metric set": f"{ADMIN}/metricset/add/",
    "form of a metric set": f"{ADMIN}/metricset/1/change/",
    "new annotation": f"{ADMIN}/annotation/add/",
    "an alert": f"{ADMIN}/alert/1/change/",
    "a total": f"{ADMIN}/total/1/change/",
    "pending items": f"{ADMIN}/item/",
}


# What Django itself makes without a name or with a wrong one: the boxes to filter the lists of the widget of many
# metrics, the input to search for users, and the headings of a table of rows that belong to the object.
OF_DJANGO = [".search-label-icon", ".select2-search__field", ".inline-group th:empty"]


def findings(browser: Browser) -> list[str]:
    """Return what axe-core finds among the contents of the page; Django answers for what is around them."""
    axe = Axe(browser.driver)
    axe.inject()
    # It would copy the styles of imported style sheets into the page, which the policy of the site forbids.
    found = axe.run({"include": ["#content"], "exclude": OF_DJANGO}, "{preload: false}")["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_barrier_that_axe_finds(browser: Browser, site: Site, page: str, scheme: str) -> None:
    browser.be(scheme=scheme)
    browser.open(site.url(PAGES[page]))
    assert findings(browser) == []


def test_the_table_of_a_distribution_has_no_barrier_that_axe_finds(browser: Browser, site: Site) -> None:
    browser.open(site.url(PAGES["timer by day"]))
    browser.find("#distribution-table").click()
    assert browser.find("[aria-labelledby=distribution-table] td").is_displayed()
    assert findings(browser) == []


def test_axe_finds_a_barrier(browser: Browser, site: Site) -> None:
    """This proves that the other tests can fail."""
    browser.open(site.url(DASHBOARD))
    browser.run("document.querySelector('#content').append(document.createElement('img'))")
    assert [each.split(":")[0] for each in findings(browser)] == ["image-alt"]
