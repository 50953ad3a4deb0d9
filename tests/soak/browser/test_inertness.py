"""Names that contain script are shown as plain text on every page."""

import pytest
from selenium.webdriver.support.expected_conditions import alert_is_present

from scripts.browser import Browser
from tests.soak.browser.conftest import Site
from tests.soak.browser.inserting import HOSTILE, HOSTILE_SLUG

OVERVIEW = "/admin/app_metrics/dashboard/"
METRIC = f"{OVERVIEW}metric/{HOSTILE_SLUG}/"

PAGES = {
    "index": "/admin/",
    "overview": OVERVIEW,
    "overview of what was searched": f"{OVERVIEW}?q=img",
    "metric": METRIC,
    "split": f"{METRIC}?split=plan",
    "bad parameters": f"{METRIC}?split={HOSTILE}&period={HOSTILE}&start={HOSTILE}&range={HOSTILE}",
    "health": f"{OVERVIEW}health/",
    "unused": f"{OVERVIEW}unused/",
    "metrics": "/admin/app_metrics/metric/",
    "metric sets": "/admin/app_metrics/metricset/",
    "totals": "/admin/app_metrics/total/",
}


def injected(browser: Browser) -> list[str]:
    script = "return [...document.querySelectorAll('img[src=x], [onerror]')].map(each => each.outerHTML)"
    return browser.run(script)


@pytest.mark.parametrize("page", PAGES)
def test_a_hostile_name_stays_a_text(browser: Browser, site: Site, page: str) -> None:
    browser.open(site.url(PAGES[page]))
    assert not alert_is_present()(browser.driver)
    assert injected(browser) == []
    if page not in {"index", "bad parameters", "health", "unused"}:
        assert HOSTILE in browser.find("body").get_attribute("textContent")


def test_a_hostile_name_stays_a_text_in_the_box_of_a_point(browser: Browser, site: Site) -> None:
    browser.open(site.url(f"{METRIC}?split=plan"))
    target = browser.all(".app-metrics-chart .slot .target")[3]
    browser.point_at(target)
    lines = browser.until(lambda driver: [each for each in browser.all(".slot .box .number") if each.is_displayed()])
    assert lines[0].text.startswith(f"{HOSTILE}: ")
    assert injected(browser) == []


def test_a_hostile_name_stays_a_text_in_the_report_of_its_set(browser: Browser, site: Site) -> None:
    browser.open(site.url("/admin/app_metrics/metricset/"))
    links = browser.driver.find_elements("link text", HOSTILE)
    browser.leave_by(links[0].click)
    browser.leave_by(browser.find(".object-tools a[href*='/report/']").click)
    assert injected(browser) == []
    browser.driver.switch_to.frame(browser.find("iframe"))
    assert HOSTILE in browser.find("body").text
    # The frame's sandbox blocks scripts, including the test's own, so look for elements instead.
    assert browser.all("img[src=x]") == []
    browser.driver.switch_to.default_content()
