"""The dashboard in a browser with JavaScript disabled."""

from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from scripts.browser import Browser
from tests.soak.browser.conftest import Site
from tests.soak.browser.inserting import PASSWORD, READER

OVERVIEW = "/admin/app_metrics/dashboard/"
SLOTS = ".app-metrics-chart .slot"


@pytest.fixture
def plain(stranger: Browser) -> Browser:
    stranger.be(scripts=False)
    return stranger


def texts(browser: Browser, selector: str) -> list[str]:
    return [each.text for each in browser.all(selector)]


def test_everything_is_reached_by_links_and_buttons(plain: Browser, site: Site) -> None:
    plain.open(site.url("/admin/"))
    plain.log_in(READER, PASSWORD)
    plain.leave_by(plain.find(f"#content-main a[href='{OVERVIEW}']").click)
    plain.find("[name=q]").send_keys("boxes sold")
    plain.leave_by(plain.find(".app-metrics-form button").click)
    assert texts(plain, ".app-metrics-overview tbody th a") == ["Boxes sold"]
    plain.leave_by(plain.find(".app-metrics-overview tbody th a").click)
    Select(plain.find("[name=split]")).select_by_visible_text("plan")
    Select(plain.find("[name=period]")).select_by_value("week")
    plain.leave_by(plain.find(".app-metrics-form button").click)
    query = parse_qs(urlsplit(plain.url).query)
    assert (query["split"], query["period"]) == (["plan"], ["week"])
    heads = [text.lower() for text in texts(plain, ".app-metrics-tall thead th")]
    assert heads == ["week", "single", "quarterly", "yearly"]
    assert len(plain.all(".app-metrics-tall tbody tr")) == len(plain.all(SLOTS)) > 0
    plain.leave_by(plain.driver.find_element(By.LINK_TEXT, "13 weeks").click)
    assert len(plain.all(SLOTS)) == 91
    assert "split=plan" in plain.url


def test_the_pointer_shows_the_numbers_of_a_point(plain: Browser, site: Site) -> None:
    plain.open(site.url(f"{OVERVIEW}metric/orders/"))
    plain.log_in(READER, PASSWORD)
    assert not any(each.is_displayed() for each in plain.all(f"{SLOTS} .box text"))
    plain.point_at(plain.all(f"{SLOTS} .target")[5])
    plain.until(lambda driver: any(each.is_displayed() for each in plain.all(f"{SLOTS} .box text")))
    cells = plain.all(".app-metrics-tall tbody tr")[5].find_elements(By.CSS_SELECTOR, "th, td")
    shown = [each.text for each in plain.all(f"{SLOTS} .box text") if each.is_displayed()]
    assert shown[:2] == [cells[0].text, f"Total: {cells[1].text}"]


def test_the_chart_is_one_stop_of_the_tab_key(plain: Browser, site: Site) -> None:
    plain.open(site.url(f"{OVERVIEW}metric/orders/"))
    plain.log_in(READER, PASSWORD)
    assert [each.get_attribute("tabindex") for each in plain.all(SLOTS)] == [None] * 27 + ["0"]


def test_the_distribution_has_a_table_that_opens(plain: Browser, site: Site) -> None:
    plain.open(site.url(f"{OVERVIEW}metric/checkout_seconds/"))
    plain.log_in(READER, PASSWORD)
    rows = plain.all("[aria-labelledby=distribution-table] tbody tr")
    assert len(rows) > 0
    assert not any(each.is_displayed() for each in rows)
    plain.find("#distribution-table").click()
    assert all(each.is_displayed() for each in rows)
