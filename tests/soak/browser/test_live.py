"""An open page that refreshes its numbers; the clock of the page runs a hundred times faster here."""

import sys

import pytest
from selenium.webdriver.common.keys import Keys

from scripts.browser import Browser
from scripts.server import manage
from tests.soak.browser.conftest import Site

OVERVIEW = "/admin/app_metrics/dashboard/"
ORDERS = f"{OVERVIEW}metric/orders/"
CARD = "#card-orders strong"
ROWS = ".app-metrics-overview tbody tr"

# Waits are shorter, every fetch is noted, and the test says whether the page is in the background and the site away.
PREPARE = """
const setTimer = window.setTimeout, get = window.fetch;
window.setTimeout = (act, wait, ...rest) => setTimer(act, wait / 100, ...rest);
Object.assign(window, {fetched: [], isHidden: false, isAway: false});
window.fetch = (url, options) => {
    fetched.push(Date.now());
    return isAway ? Promise.reject(new TypeError("away")) : get(url, options);
};
Object.defineProperty(document, "hidden", {get: () => isHidden});
"""
SWITCH = "isHidden = arguments[0]; document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
def page(browser: Browser):
    """A browser whose pages refresh after 0.3 seconds."""
    found = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": PREPARE})
    yield browser
    browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", found)


def fetches(page: Browser) -> int:
    return int(page.run("return fetched.length"))


def refreshed(page: Browser) -> None:
    """Wait until the page was fetched twice more, so that the first of them is shown."""
    before = fetches(page)
    page.until(lambda driver: fetches(page) >= before + 2)


def run(site: Site, script: str) -> None:
    manage(sys.executable, site.environment, "shell", "-c", script)


def order(site: Site) -> None:
    run(site, "from app_metrics import metric; metric('orders', 1000)")


def test_an_open_page_shows_what_was_recorded_since(page: Browser, site: Site) -> None:
    page.open(site.url(OVERVIEW))
    before = page.texts(CARD)
    rows = page.texts("#row-orders td:nth-of-type(1)")
    order(site)
    page.until(lambda driver: page.texts(CARD) != before)
    assert page.texts("#row-orders td:nth-of-type(1)") != rows


def test_a_refresh_keeps_elements_focus_scroll_position_and_what_was_entered(page: Browser, site: Site) -> None:
    page.be(width=360, height=700)
    page.open(site.url(OVERVIEW))
    page.run("""
        window.kept = [...document.querySelectorAll('#content-main *')];
        document.querySelector('[name=q]').value = 'entered';
        document.querySelector('#row-orders a').focus();
        document.querySelector('.app-metrics-scroll').scrollLeft = 90;
        window.scrollTo(0, 400);
    """)
    before = page.texts(CARD)
    order(site)
    page.until(lambda driver: page.texts(CARD) != before)
    assert page.run("return kept.every(each => each.isConnected)")
    assert page.run("return document.activeElement.closest('tr').id") == "row-orders"
    assert page.run("return document.querySelector('[name=q]').value") == "entered"
    assert page.run("return document.querySelector('.app-metrics-scroll').scrollLeft") == 90
    assert page.run("return window.scrollY") == 400


def test_a_refresh_keeps_the_open_box_of_a_chart_and_updates_it(page: Browser, site: Site) -> None:
    page.open(site.url(ORDERS))
    page.run("document.querySelector('.slot[tabindex=\"0\"]').focus()")
    before = page.texts(".slot:focus .box .number")
    order(site)
    page.until(lambda driver: page.texts(".slot:focus .box .number") not in ([], before))
    page.press(Keys.ARROW_LEFT)
    refreshed(page)
    slots = page.run("return [...document.querySelectorAll('.slot')].indexOf(document.activeElement)")
    assert slots == len(page.all(".slot")) - 2
    assert len([each for each in page.all(".slot .frame") if each.is_displayed()]) == 1


@pytest.fixture
def created(site: Site):
    """A function that creates a metric until the end of the test."""
    names = "from app_metrics.models.creation import create_metric; from app_metrics.models import Metric; "
    yield lambda slug: run(site, f"{names}create_metric({slug!r}, {slug!r})")
    run(site, f"{names}Metric.objects.filter(slug__startswith='newest').delete()")


def test_a_new_metric_gets_its_row_between_the_others(page: Browser, site: Site, created) -> None:
    page.open(site.url(f"{OVERVIEW}?q=newest"))
    assert page.all(ROWS) == []
    for number, slug in enumerate(("newest_a", "newest_c", "newest_b"), start=1):
        created(slug)
        page.until(lambda driver, number=number: len(page.all(ROWS)) == number)
    assert page.texts(f"{ROWS} th a") == ["newest_a", "newest_b", "newest_c"]


def test_the_link_of_a_row_that_moves_keeps_the_focus(page: Browser, site: Site, created) -> None:
    for slug in ("newest_a", "newest_b", "newest_c"):
        created(slug)
    run(site, "from app_metrics import metric; metric('newest_a', 3); metric('newest_b', 2); metric('newest_c')")
    page.open(site.url(f"{OVERVIEW}?q=newest&sort=-today"))
    assert page.texts(f"{ROWS} th a") == ["newest_a", "newest_b", "newest_c"]
    page.run("document.querySelector('#row-newest_b a').focus()")
    run(site, "from app_metrics import metric; metric('newest_b', 7)")
    page.until(lambda driver: page.texts(f"{ROWS} th a")[0] == "newest_b")
    assert page.run("return document.activeElement.closest('tr').id") == "row-newest_b"


def test_a_page_in_the_background_waits_until_it_is_seen_again(page: Browser, site: Site) -> None:
    page.open(site.url(OVERVIEW))
    refreshed(page)
    page.run(SWITCH, True)
    page.until(lambda driver: page.run("return Date.now() - fetched.at(-1) > 1500"))
    before = fetches(page)
    page.run(SWITCH, False)
    page.until(lambda driver: fetches(page) > before)


def test_a_page_that_cannot_be_fetched_stops_and_says_so(page: Browser, site: Site) -> None:
    page.open(site.url(OVERVIEW))
    assert page.texts(".app-metrics-status") == [""]
    page.run("isAway = true")
    said = page.until(lambda driver: page.find(".app-metrics-status").text)
    assert said.startswith("This page no longer updates its numbers")
    before = fetches(page)
    page.until(lambda driver: page.run("return Date.now() - fetched.at(-1) > 1500"))
    assert fetches(page) == before >= 3


def test_a_page_of_someone_who_is_logged_out_stops_and_says_so(page: Browser, site: Site) -> None:
    page.open(site.url(ORDERS))
    page.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    page.until(lambda driver: page.find(".app-metrics-status").text)
    assert page.texts("#content h1") == ["Orders"]


def test_other_pages_are_not_fetched_again(page: Browser, site: Site) -> None:
    page.open(site.url(f"{OVERVIEW}health/"))
    page.until(lambda driver: page.run("return performance.now() > 1500"))
    assert fetches(page) == 0
