"""The dashboard as a user sees it."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from scripts.browser import Browser
from tests.soak.browser.conftest import Site
from tests.soak.browser.inserting import ADMIN, PASSWORD, READER

OVERVIEW = "/admin/app_metrics/dashboard/"
ORDERS = f"{OVERVIEW}metric/orders/"
BOXES = f"{OVERVIEW}metric/items_sold/"
# This range is over, so two requests return the same data.
TODAY = datetime.now(ZoneInfo("Europe/Berlin")).date()
WHOLE_DAYS = f"?start={TODAY - timedelta(days=20)}&end={TODAY - timedelta(days=2)}"

# The rows of metrics; those of ratios are in a table of their own.
METRICS = ".app-metrics-overview [id^=row-]"
NAMES = f"{METRICS} th a"
ROWS = ".app-metrics-tall tbody tr"
CHART = ".app-metrics-chart .chart"
SLOTS = ".app-metrics-chart .slot"


def query(browser: Browser) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.url).query)


def rows(browser: Browser) -> list[list[str]]:
    """Return the table under the chart: the name of each period, and its numbers."""
    cells = "return [...document.querySelectorAll(arguments[0])].map(row => [...row.cells].map(c => c.textContent))"
    return browser.run(cells, ROWS)


def column(browser: Browser, number: int) -> list[str]:
    return browser.texts(f"{METRICS} td:nth-child({number})")


def box(browser: Browser, slot: int) -> list[str]:
    """Return the lines of a point's box if it is visible."""
    lines = browser.all(SLOTS)[slot].find_elements(By.CSS_SELECTOR, ".box text")
    return [line.text for line in lines if line.is_displayed()]


def shown_boxes(browser: Browser) -> int:
    return sum(bool(each.is_displayed()) for each in browser.all(f"{SLOTS} .frame"))


def expected_box(browser: Browser, row: list[str]) -> list[str]:
    """Return the expected box of a counter's point, from its row and the matching row of the period before."""
    heads = browser.texts(".app-metrics-tall thead th")
    return [row[0], f"{heads[1]}: {row[1]}", row[-1]]


def said(lines: list[str]) -> list[str]:
    """Return a box's lines without the name of the previous period."""
    return [*lines[:2], lines[2].rpartition(": ")[2]]


def day_of(title: str) -> str:
    return datetime.strptime(title, "%A, %d %B %Y").replace(tzinfo=UTC).date().isoformat()


def select(browser: Browser, name: str, text: str) -> None:
    Select(browser.find(f"select[name={name}]")).select_by_visible_text(text)
    browser.leave_by(browser.find(".app-metrics-range button").click)


def fetch(browser: Browser, url: str) -> str:
    """Return a file fetched by the page itself."""
    script = "fetch(arguments[0]).then(answer => answer.text()).then(arguments[1])"
    return browser.driver.execute_async_script(script, url)


def test_the_admin_index_leads_viewers_to_the_dashboard(stranger: Browser, site: Site) -> None:
    stranger.open(site.url("/admin/"))
    stranger.log_in(READER, PASSWORD)
    stranger.leave_by(stranger.find(f"#content-main a[href='{OVERVIEW}']").click)
    assert stranger.texts("#content h1") == ["Dashboard"]
    assert "Orders" in stranger.texts(NAMES)
    stranger.leave_by(stranger.find(f"{NAMES}[href='{ORDERS}']").click)
    assert stranger.texts("#content h1") == ["Orders"]


def test_the_overview_lists_every_metric_with_a_picture(browser: Browser, site: Site) -> None:
    browser.open(site.url(OVERVIEW))
    names = browser.texts(NAMES)
    assert {"Orders", "Boxes sold", "Revenue in €", "Duration of a checkout"} <= set(names)
    assert [name.lower() for name in names] == sorted(name.lower() for name in names)
    assert len(browser.all(f"{METRICS} td svg")) == len(names)


def test_the_overview_finds_metrics_by_a_word_and_by_their_kind(browser: Browser, site: Site) -> None:
    browser.open(site.url(OVERVIEW))
    browser.find("[name=q]").send_keys("logins")
    browser.leave_by(lambda: browser.press(Keys.ENTER))
    assert browser.texts(NAMES) == ["Failed logins", "Logins"]
    browser.open(site.url(OVERVIEW))
    Select(browser.find("[name=kind]")).select_by_value("timer")
    browser.leave_by(browser.find(".app-metrics-form button").click)
    assert browser.texts(NAMES) == ["Duration of a checkout", "Time from an order to its payment"]


def test_the_overview_is_sorted_by_the_head_of_a_column(browser: Browser, site: Site) -> None:
    def numbers() -> list[float]:
        return [float(re.sub("[^0-9.]", "", text) or 0) for text in column(browser, 4)]

    browser.open(site.url(f"{OVERVIEW}?kind=counter"))
    assert numbers() != sorted(numbers(), reverse=True)
    browser.leave_by(browser.find("thead a[href*='yesterday']").click)
    assert numbers() == sorted(numbers(), reverse=True)
    assert browser.find("thead th[aria-sort]").get_attribute("aria-sort") == "descending"
    browser.leave_by(browser.find("thead a[href*='yesterday']").click)
    assert numbers() == sorted(numbers())
    assert query(browser)["kind"] == ["counter"]


@pytest.mark.parametrize("slot", [0, 9, -2, -1])
def test_the_pointer_shows_the_numbers_of_a_point(browser: Browser, site: Site, slot: int) -> None:
    """The numbers match the table's row, and disappear when the pointer leaves."""
    browser.open(site.url(ORDERS))
    assert len(browser.all(SLOTS)) == len(rows(browser)) == 28
    assert shown_boxes(browser) == 0
    browser.point_at(browser.all(f"{SLOTS} .target")[slot])
    browser.until(lambda driver: box(browser, slot))
    assert said(box(browser, slot)) == expected_box(browser, rows(browser)[slot])
    assert shown_boxes(browser) == 1
    browser.point_at(browser.find("#content h1"))
    browser.until(lambda driver: shown_boxes(browser) == 0)


def test_the_keyboard_walks_along_the_points(browser: Browser, site: Site) -> None:
    """The chart is a single tab stop, and screen readers announce what the box shows."""
    browser.open(site.url(ORDERS))
    browser.run("document.querySelector('.app-metrics-form button').focus()")

    def focused() -> int:
        script = "return [...document.querySelectorAll(arguments[0])].indexOf(document.activeElement)"
        return int(browser.run(script, SLOTS))

    browser.press(Keys.TAB)
    assert focused() == 27
    for key, index in ((Keys.ARROW_LEFT, 26), (Keys.PAGE_UP, 19), (Keys.ARROW_RIGHT, 20), (Keys.HOME, 0)):
        browser.press(key)
        assert focused() == index
        assert len(box(browser, index)) == 3
        assert said(box(browser, index)) == expected_box(browser, rows(browser)[index])
        assert browser.all(SLOTS)[index].get_attribute("aria-label") == "; ".join(box(browser, index))
        assert shown_boxes(browser) == 1
    name = "return document.activeElement.getAttribute('aria-labelledby') || document.activeElement.textContent"
    for stop in ("Add an annotation", "All annotations", "hours", "Hours of the week as a table", "CSV"):
        browser.press(Keys.TAB)
        assert focused() == -1
        assert browser.run(name) == stop


def test_the_keyboard_opens_the_table_of_the_hours_of_the_week(browser: Browser, site: Site) -> None:
    browser.open(site.url(ORDERS))
    cells = browser.all("details td")
    assert len(cells) == 7 * 24
    assert not cells[0].is_displayed()
    browser.run("document.querySelector('#hours-table').focus()")
    browser.press(Keys.ENTER)
    browser.until(lambda driver: cells[0].is_displayed())


def test_the_escape_key_hides_the_box_at_the_pointer(browser: Browser, site: Site) -> None:
    browser.open(site.url(ORDERS))
    browser.point_at(browser.all(f"{SLOTS} .target")[5])
    browser.until(lambda driver: shown_boxes(browser) == 1)
    browser.press(Keys.ESCAPE)
    assert shown_boxes(browser) == 0
    browser.point_at(browser.all(f"{SLOTS} .target")[9])
    browser.until(lambda driver: shown_boxes(browser) == 1)


def test_a_chosen_period_and_label_change_the_chart_and_the_address(browser: Browser, site: Site) -> None:
    browser.open(site.url(f"{BOXES}?range=91d"))
    assert len(browser.all(SLOTS)) == 91
    select(browser, "period", "Week")
    assert query(browser)["period"] == ["week"]
    assert len(browser.all(SLOTS)) == len(rows(browser)) in {13, 14}
    assert rows(browser)[0][0].startswith("Week ")
    select(browser, "split", "plan")
    assert query(browser)["split"] == ["plan"]
    assert query(browser)["period"] == ["week"]
    assert set(browser.texts(".app-metrics-chart figcaption li")) == {"single", "quarterly", "yearly"}
    assert len(browser.all(".app-metrics-chart .curve.value-2 .line")) > 0


def test_a_named_range_stays_one_until_a_date_is_changed(browser: Browser, site: Site) -> None:
    browser.open(site.url(f"{BOXES}?range=91d"))
    select(browser, "split", "plan")
    assert query(browser)["range"] == ["91d"]
    assert not {"start", "end"} & query(browser).keys()
    browser.run("document.querySelector('#id_start').value = '2026-01-01'")
    browser.leave_by(browser.find(".app-metrics-range button").click)
    assert query(browser)["start"] == ["2026-01-01"]
    assert browser.all("[aria-label=Range] a[aria-current]") == []


def test_a_shared_link_shows_the_same_page_to_another_user(browser: Browser, site: Site) -> None:
    browser.open(site.url(f"{BOXES}{WHOLE_DAYS}"))
    select(browser, "split", "plan")
    link, seen, drawn = browser.url, rows(browser), browser.find(CHART).get_attribute("innerHTML")
    browser.forget()
    browser.open(link)
    browser.log_in(READER, PASSWORD)
    assert browser.url == link
    assert rows(browser) == seen
    # Ignore the tabindex, which the script may not have set yet.
    without = re.compile(' tabindex="-?[0-9]"')
    assert without.sub("", browser.find(CHART).get_attribute("innerHTML")) == without.sub("", drawn)


def test_downloads_have_the_numbers_of_the_table(browser: Browser, site: Site) -> None:
    browser.open(site.url(f"{ORDERS}{WHOLE_DAYS}"))
    shown = rows(browser)
    links = {link.text: link.get_attribute("href") for link in browser.all("#content-main p a")}
    head, *lines = csv.reader(io.StringIO(fetch(browser, links["CSV"])))
    assert head == ["start", "value", "count", "previous"]
    assert len(lines) == 19
    days = [day_of(row[0]) for row in shown]
    assert lines == [[day, *(text.replace(",", "") for text in row[1:])] for day, row in zip(days, shown, strict=True)]
    data = json.loads(fetch(browser, links["JSON"]))
    assert data["starts"] == days
    numbers = zip(*(each["numbers"] for each in data["columns"]), strict=True)
    assert [[day, *row] for day, row in zip(days, numbers, strict=True)] == lines


def test_a_metrics_page_leads_back_to_the_overview(browser: Browser, site: Site) -> None:
    browser.open(site.url(ORDERS))
    browser.leave_by(browser.find(".breadcrumbs a[href$='/dashboard/']").click)
    assert urlsplit(browser.url).path == OVERVIEW


def test_anonymous_visitors_see_the_login_form_first(stranger: Browser, site: Site) -> None:
    stranger.open(site.url(f"{ORDERS}?range=7d"))
    assert stranger.all(SLOTS) == []
    stranger.log_in(ADMIN, PASSWORD)
    assert stranger.url == site.url(f"{ORDERS}?range=7d")
    assert len(stranger.all(SLOTS)) > 0
