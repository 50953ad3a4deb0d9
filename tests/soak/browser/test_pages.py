"""Every page under the site's Content-Security-Policy.

These tests rely on the assertion after each test that the browser's console holds no error.
"""

import pytest

from scripts.browser import Browser
from tests.soak.browser.conftest import Site
from tests.soak.browser.inserting import PASSWORD, READER

ADMIN = "/admin/app_metrics"
# `make test` opens only these.
SMOKE = [
    f"{ADMIN}/dashboard/",
    f"{ADMIN}/dashboard/health/",
    f"{ADMIN}/dashboard/metric/orders/",
    f"{ADMIN}/metricset/1/report/week/",
    f"{ADMIN}/metric/1/change/",
]
PAGES = [
    "/admin/",
    f"{ADMIN}/",
    *(f"{ADMIN}/{model}/" for model in ("metric", "metricset", "total", "item", "delivery", "milestone", "alert")),
    f"{ADMIN}/metricset/1/change/",
    f"{ADMIN}/metricset/add/",
    f"{ADMIN}/dashboard/?sort=-change&q=o",
    f"{ADMIN}/dashboard/unused/",
    f"{ADMIN}/dashboard/metric/orders/?range=2d",
    f"{ADMIN}/dashboard/metric/orders/?start=2026-13-01",
    f"{ADMIN}/dashboard/metric/items_sold/?split=plan&range=24m",
    f"{ADMIN}/dashboard/metric/checkout_seconds/",
    "/",
    "/search/?q=sea",
    "/downloads/",
    "/checkout/",
    "/accounts/sign-up/",
]


@pytest.mark.smoke
def test_five_pages_break_no_policy_and_log_no_error(browser: Browser, site: Site) -> None:
    """One test, because each process that tests in a browser starts a site of its own."""
    for page in SMOKE:
        check(browser, site, page)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_breaks_no_policy_and_logs_no_error(browser: Browser, site: Site, page: str) -> None:
    check(browser, site, page)


def check(browser: Browser, site: Site, page: str) -> None:
    browser.open(site.url(page))
    assert browser.url == site.url(page)
    assert policy(browser) == "default-src 'self'"
    assert browser.complaints() == []


def policy(browser: Browser) -> str:
    script = """fetch(location, {method: "HEAD"}).then(answer => answer.headers.get("Content-Security-Policy"))
        .then(arguments[0])"""
    return str(browser.driver.execute_async_script(script))


BREACHES = {
    "document.body.setAttribute('style', 'color: red')": "style-src",
    "document.body.append(Object.assign(document.createElement('script'), {text: 'alert(1)'}))": "script-src",
}


def test_the_console_reports_violations_of_the_policy(browser: Browser, site: Site) -> None:
    """This proves that the other tests can fail."""
    browser.open(site.url(f"{ADMIN}/dashboard/"))
    for broken, directive in BREACHES.items():
        browser.run(broken)
        # Chromium reports it first, then the watching script.
        said = []
        browser.until(lambda driver, said=said: said.extend(browser.complaints()) or len(said) >= 2)
        assert all(directive in each for each in said)


def test_logging_in_and_out_logs_no_error(stranger: Browser, site: Site) -> None:
    stranger.open(site.url(f"{ADMIN}/dashboard/"))
    stranger.log_in(READER, PASSWORD)
    stranger.leave_by(stranger.find("#logout-form button").click)
    assert stranger.all("#logout-form") == []
