"""The HTML of a report as mail programs need it: valid, self-contained, legible in light and dark mode."""

import re
import sys

import html5lib
import pytest

from app_metrics.reports.content import Share
from app_metrics.reports.rendering import render
from tests.support.sample_reports import line, milestone, report, summary

SHARES = [Share("plan", "pro", 41), Share("plan", "team", 13)]


def sample():
    lines = [
        line(shares=SHARES),
        line("Balance", -30, (-50, 20, 7), values=[3, -4, 0, None, -9, 12]),
        line("Queue", summary(40, 4, 3, 40, 17), (None, None, None), kind="gauge"),
        line("Silent", 0, (0, 0, 0), values=[0] * 14, extremes=(None, None)),
        *(line(f"Metric {number}") for number in range(30)),
    ]
    return report(*lines, milestones=[milestone()])


@pytest.fixture(params=[True, False], ids=["inlined", "not inlined"])
def html(request, monkeypatch):
    if not request.param:
        monkeypatch.setitem(sys.modules, "css_inline", None)
    return render(sample(), stop_url="https://example.org/stop/", dashboard_url="https://example.org/metrics/").html


@pytest.fixture
def tree(html):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)


def test_the_page_asks_for_nothing_from_elsewhere(html, tree):
    assert not [element for element in tree.iter() if element.get("src") or element.get("background")]
    assert not [*tree.iter("link"), *tree.iter("script"), *tree.iter("img")]
    assert not re.search(r"@import|url\(|@font-face", html)
    links = [element.get("href") for element in tree.iter() if element.get("href")]
    assert set(links) == {"https://example.org/stop/", "https://example.org/metrics/"}


def test_tables_are_for_layout_only(tree):
    tables = list(tree.iter("table"))
    assert len(tables) > 50
    assert {table.get("role") for table in tables} == {"presentation"}


def test_the_page_has_a_language_a_direction_and_both_colour_schemes(html, tree):
    assert html.startswith("<!DOCTYPE html>")
    assert (tree.get("lang"), tree.get("dir")) == ("en-us", "ltr")
    metas = {meta.get("name"): meta.get("content") for meta in tree.iter("meta")}
    assert metas["color-scheme"] == "light dark"
    assert "width=device-width" in metas["viewport"]
    (kept,) = [style.text for style in tree.iter("style") if style.get("data-css-inline") == "keep"]
    assert "@media (prefers-color-scheme: dark)" in kept


def test_a_preview_of_the_first_metrics_is_there_and_hidden(tree):
    preheader = tree.find(".//div[@class='preheader']")
    assert preheader.text.replace("\u00a0", " ").startswith(
        "Signups 123 (+23 %) · Balance −30 (+40 %) · Queue 17 (new)"
    )


def test_each_picture_has_words_and_one_bar_for_each_number(tree):
    pictures = [element for element in tree.iter("div") if element.get("role") == "img"]
    first, second, _, silent = pictures[:4]
    assert first.get("aria-label") == "From 3 November to 16 November: 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7"
    assert bars(first) == [[17, 6, 23, 6, 29, 52, 12, 35, 29, 17, 29, 46, 52, 40]]
    assert second.get("aria-label").endswith(": 3, −4, 0, –, −9, 12")
    assert bars(second) == [[7, 0, 0, 0, 0, 30], [0, 10, 0, 0, 22, 0]]
    assert bars(silent) == [[0] * 14]
    reported = [bar for bar in first.iter("div") if "now" in bar.get("class", "").split()]
    assert [height(bar) for bar in reported] == [40]


def bars(picture):
    """Return the heights of the bars of each row; 0 for a cell without a bar."""
    rows = [list(row.iter("td")) for row in picture.iter("tr")]
    return [[height(cell.find("div")) for cell in row] for row in rows]


def height(bar):
    return 0 if bar is None else int(re.search(r"(?<!-)height: ?(\d+)px", bar.get("style"))[1])


def test_changes_are_coloured_as_good_or_bad_news(tree):
    changes = {(span.get("class"), span.text[0]) for span in tree.iter("span") if "change" in span.get("class")}
    assert changes == {("change up", "+"), ("change down", "−"), ("change even", "n")}


def test_comparisons_that_are_not_available_take_no_line(tree):
    assert not [element for element in tree.find("body").iter() if "n/a" in (element.text or "")]


# The classes of text that the templates put on the card's background.
ON_CARD = {
    "title", "period", "note", "star", "name", "number", "small", "label", "value", "up", "down", "even", "from",
    "until", "row", "further", "foot", "link",
}  # fmt: skip


def colours(css, name):
    """Return the colour that the property `name` has for each class; the last rule wins."""
    found = {}
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        for selector in selectors.split(","):
            if match := re.search(rf"(?:^|;)\s*{name}:\s*(?:1px solid )?(#[0-9a-f]{{6}})", body):
                found[selector.strip().lstrip(".")] = match[1]
    return found


def contrast(one, other):
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(factor * part for factor, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_bars_stand_out_in_both_colour_schemes(scheme, monkeypatch):
    monkeypatch.setitem(sys.modules, "css_inline", None)
    styles = re.findall(r"<style[^>]*>(.*?)</style>", render(sample()).html, re.DOTALL)
    css = styles[0] if scheme == "light" else styles[1].partition("dark) {")[2]
    texts, fills = colours(css, "color"), colours(css, "background-color")
    assert texts.keys() >= ON_CARD
    ratios = {name: contrast(texts[name], fills["card"]) for name in ON_CARD}
    assert min(ratios.values()) >= 4.5, ratios
    assert contrast(fills["bar"], fills["card"]) >= 3
    assert contrast(fills["now"], fills["card"]) >= 3
    assert contrast(fills["now"], fills["bar"]) >= 2
    if scheme == "dark":
        assert css.count("!important") == css.count(";")


def test_every_colour_of_the_light_page_has_its_counterpart_in_the_dark(monkeypatch):
    monkeypatch.setitem(sys.modules, "css_inline", None)
    light, dark = re.findall(r"<style[^>]*>(.*?)</style>", render(sample()).html, re.DOTALL)[:2]
    for name in ("color", "background-color", "border-top"):
        there = colours(dark, "border-color" if name == "border-top" else name)
        assert colours(light, name).keys() - {"body"} <= there.keys()
