"""How pages look: narrow, dark, right to left; and how readable they are."""

import re
import sys
from collections.abc import Iterator

import pytest

from scripts.browser import Browser
from scripts.server import serve
from tests.soak.browser.conftest import Site

OVERVIEW = "/admin/app_metrics/dashboard/"
PAGES = {
    "overview": OVERVIEW,
    "counter": f"{OVERVIEW}metric/orders/",
    "split": f"{OVERVIEW}metric/items_sold/?split=plan&range=91d",
    "timer": f"{OVERVIEW}metric/checkout_seconds/?range=7d",
    "health": f"{OVERVIEW}health/",
    "unused": f"{OVERVIEW}unused/",
}
every_page = pytest.mark.parametrize("page", PAGES)

# WCAG 2.2, 1.4.3 (text) and 1.4.11 (large text and graphics).
TEXT, DRAWN = 4.5, 3.0

# Every visible text and curve: its description, its colour, and the colours behind it.
COLOURS = """
const behind = element => {
    const found = [];
    for (let each = element; each; each = each.parentElement) {
        found.push(getComputedStyle(each).backgroundColor);
    }
    return found;
};
const found = [];
const inside = document.querySelector("#content");
for (const element of inside.querySelectorAll("*")) {
    const style = getComputedStyle(element);
    const isText = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!element.getClientRects().length || style.visibility !== "visible") {
        continue;
    }
    if (element.closest("svg")) {
        const kind = element.closest(".curve")?.getAttribute("class");
        if (element.matches(".curve:not(.area) .line, .curve:not(.area) path.line")) {
            found.push({what: `curve ${kind}`, drawn: true, colour: style.stroke, behind: behind(element)});
        } else if (element.matches("polyline")) {
            found.push({what: "sparkline", drawn: true, colour: style.stroke, behind: behind(element)});
        } else if (isText) {
            found.push({what: `axis ${element.textContent}`, colour: style.fill, behind: behind(element)});
        }
    } else if (isText && !["OPTION", "SCRIPT", "STYLE"].includes(element.tagName)) {
        found.push({what: `${element.tagName} ${element.textContent.trim()}`, colour: style.color,
                    behind: behind(element)});
    }
}
return found;
"""

Colour = tuple[float, float, float, float]


def colour(text: str) -> Colour:
    """Return red, green, blue and opacity of a computed colour, which is rgb(…), rgba(…) or color(srgb …)."""
    kind, _, rest = text.partition("(")
    numbers = [float(each) for each in re.findall(r"[\d.e-]+", rest.removeprefix("srgb"))]
    red, green, blue, alpha = [*numbers, 1.0][:4]
    scale = 255 if kind == "color" else 1
    return red * scale, green * scale, blue * scale, alpha


def over(front: Colour, back: Colour) -> Colour:
    red, green, blue = (
        each * front[3] + under * (1 - front[3]) for each, under in zip(front[:3], back[:3], strict=True)
    )
    return red, green, blue, 1.0


def luminance(shade: Colour) -> float:
    """Return the relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [each / 255 for each in shade[:3]]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(front: str, behind: list[str]) -> float:
    """Return the contrast ratio, from 1 to 21, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    back: Colour = (255, 255, 255, 1)
    for text in reversed(behind):
        back = over(colour(text), back)
    first, second = sorted((luminance(back), luminance(over(colour(front), back))))
    return (second + 0.05) / (first + 0.05)


def test_the_contrast_is_that_of_the_definition() -> None:
    assert contrast("rgb(0, 0, 0)", ["rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"]) == pytest.approx(21)
    assert contrast("rgb(118, 118, 118)", ["rgb(255, 255, 255)"]) == pytest.approx(4.54, abs=0.01)


def overflow(browser: Browser) -> int:
    """Return by how many pixels a page is wider than its window."""
    return int(browser.run("return document.documentElement.scrollWidth - window.innerWidth"))


def width(browser: Browser) -> int:
    return int(browser.run("return window.innerWidth"))


def assert_readable(browser: Browser) -> None:
    # Link colours are animated.
    browser.until(lambda driver: browser.run("return !document.getAnimations().some(e => e instanceof CSSTransition)"))
    found = browser.run(COLOURS)
    assert len(found) > 10
    ratios = {each["what"]: (contrast(each["colour"], each["behind"]), each.get("drawn")) for each in found}
    assert [(what, ratio) for what, (ratio, drawn) in ratios.items() if ratio < (DRAWN if drawn else TEXT)] == []
    assert any(drawn for _, drawn in ratios.values()) is bool(browser.all("#content figure, #content td svg"))


def axes(browser: Browser) -> list[str]:
    return list(
        browser.run("return [...document.querySelectorAll('.axis text')].map(each => getComputedStyle(each).fill)")
    )


def background(browser: Browser) -> str:
    return str(browser.run("return getComputedStyle(document.body).backgroundColor"))


@every_page
def test_a_narrow_window_does_not_scroll_sideways(browser: Browser, site: Site, page: str) -> None:
    browser.be(width=320, height=700)
    browser.open(site.url(PAGES[page]))
    assert width(browser) == 320
    assert overflow(browser) <= 0


def fade(browser: Browser) -> str:
    """Return how wide the edge of the overview's table fades."""
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue('--app-metrics-fade')"
    return str(browser.run(script, ".app-metrics-scroll"))


@pytest.mark.parametrize("end", [10_000, -10_000], ids=["ltr", "rtl"])
def test_a_table_fades_at_the_edge_until_it_is_scrolled_to_its_end(browser: Browser, site: Site, end: int) -> None:
    browser.be(width=400, height=700)
    browser.open(site.url(f"{OVERVIEW}?q=orders"))
    browser.run("document.documentElement.dir = arguments[0]", "ltr" if end > 0 else "rtl")
    browser.until(lambda driver: fade(browser) == "32px")
    browser.run("document.querySelector('.app-metrics-scroll').scrollLeft = arguments[0]", end)
    browser.until(lambda driver: fade(browser) == "0px")


def test_a_table_that_fits_its_page_does_not_fade(browser: Browser, site: Site) -> None:
    browser.be(width=1600)
    browser.open(site.url(f"{OVERVIEW}?q=orders"))
    assert fade(browser) == "0px"


def test_the_first_column_of_a_table_stays_while_it_is_scrolled(browser: Browser, site: Site) -> None:
    browser.be(width=400, height=700)
    browser.open(site.url(f"{OVERVIEW}?q=orders"))
    places = """return [...document.querySelectorAll('.app-metrics-overview tr:first-child > *')].map(
        each => each.getBoundingClientRect().left)"""
    before = browser.run(places)
    browser.run("document.querySelector('.app-metrics-scroll').scrollLeft = 150")
    first, second = browser.run(places)[:2]
    assert (first, second) == (before[0], before[1] - 150)


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_curves_stand_out_from_the_page(browser: Browser, site: Site, page: str, scheme: str) -> None:
    browser.be(scheme=scheme)
    browser.open(site.url(PAGES[page]))
    assert (luminance(colour(background(browser))) < 0.2) is (scheme == "dark")
    assert_readable(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_admins_own_switch_decides_against_the_system(browser: Browser, site: Site, scheme: str) -> None:
    """The page looks the same as on a system that prefers the chosen scheme."""
    browser.be(scheme=scheme)
    browser.open(site.url(PAGES["split"]))
    expected = axes(browser)
    browser.be(scheme="light" if scheme == "dark" else "dark")
    browser.open(site.url(PAGES["split"]))
    assert axes(browser) != expected
    browser.find("#header .theme-toggle").click()
    assert browser.find("html").get_attribute("data-theme") == scheme
    assert (luminance(colour(background(browser))) < 0.2) is (scheme == "dark")
    assert_readable(browser)
    assert axes(browser) == expected


# As themes of the admin do, which have neither Django's stylesheets nor its variables.
OTHER_THEME = """
const [colour, background] = arguments;
for (const each of document.querySelectorAll("link[rel=stylesheet]")) {
    if (!each.href.includes("/app_metrics/")) {
        each.remove();
    }
}
Object.assign(document.body.style, {color: colour, background: background});
for (const each of document.querySelectorAll("#content :is(a, input, select, button)")) {
    Object.assign(each.style, {color: "inherit", background: "transparent"});
}
"""


@every_page
@pytest.mark.parametrize("colours", [("#ffffff", "#343a40"), ("#212529", "#f8f9fa")], ids=["dark", "light"])
def test_a_page_is_readable_under_a_theme_without_the_styles_of_the_admin(
    browser: Browser, site: Site, page: str, colours: tuple[str, str]
) -> None:
    browser.be(scheme="light" if colours[0] == "#ffffff" else "dark")  # against the page
    browser.open(site.url(PAGES[page]))
    browser.run(OTHER_THEME, *colours)
    assert_readable(browser)
    assert browser.find("#content h1").is_displayed()
    paddings = browser.run("return [...document.querySelectorAll('#content td')].map(e => getComputedStyle(e).padding)")
    assert set(paddings) <= {"8px"}


@pytest.fixture
def arabic(browser: Browser, site: Site, tmp_path) -> Iterator[Site]:
    """The same site in a right-to-left language."""
    environment = {**site.environment, "EXAMPLE_LANGUAGE": "ar"}
    with serve("gunicorn", environment, tmp_path / "server.log", sys.executable) as (address, _):
        # Cookies ignore ports, so the session of the other server is valid here too.
        yield Site(address, environment)


def test_a_page_from_right_to_left_does_not_scroll_sideways(browser: Browser, arabic: Site) -> None:
    for wide in (320, 1200):
        browser.be(width=wide, height=700)
        for page in PAGES.values():
            browser.open(arabic.url(page))
            assert browser.find("html").get_attribute("dir") == "rtl"
            assert (page, overflow(browser)) == (page, 0)
            assert width(browser) == wide
