"""The colours of our pages agree with each other under any theme of the admin, which may lack Django's variables."""

import re

import pytest

from tests.support.paths import ROOT

STATIC = ROOT / "app_metrics" / "static" / "app_metrics"
SHEETS = ("admin.css", "dashboard.css")
# White, a light and a dark page of AdminLTE, and Django's black.
PAGES = ("#ffffff", "#f8f9fa", "#343a40", "#121212")
VARIABLE = re.compile(r"var\((--[\w-]+)(, [^()]+)?\)")


# As much as a page may make a phone load, our own files together.
MOST_BYTES = 60_000


def test_all_static_files_together_are_small():
    assert 0 < sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) < MOST_BYTES


def text_of(sheet):
    return re.sub(r"/\*.*?\*/", "", (STATIC / sheet).read_text(), flags=re.DOTALL)


def curves():
    return dict(re.findall(r"--(curve-[\w]+): (#\w{6});", text_of("dashboard.css")))


def luminance(shade):
    """Return the relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(shade[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("sheet", SHEETS)
def test_each_variable_of_the_admin_has_a_fallback(sheet):
    text = text_of(sheet)
    own = set(re.findall(r"(--[\w-]+):", text))
    assert [name for name, fallback in VARIABLE.findall(text) if name not in own and not fallback] == []


@pytest.mark.parametrize("sheet", SHEETS)
def test_colours_depend_neither_on_the_system_nor_on_one_theme(sheet):
    assert [each for each in ("prefers-color-scheme", "data-theme") if each in text_of(sheet)] == []


@pytest.mark.parametrize("sheet", SHEETS)
def test_only_curves_have_colours_of_their_own(sheet):
    lines = [line.strip() for line in text_of(sheet).splitlines() if re.search(r"#[0-9a-f]{3,8}\b|rgba?\(", line)]
    assert [line for line in lines if not line.startswith("--curve-")] == []


def test_each_curve_stands_out_from_light_and_dark_pages():
    assert len(curves()) > 10
    ratios = {
        (name, page): (max(pair) + 0.05) / (min(pair) + 0.05)
        for name, shade in curves().items()
        for page in PAGES
        for pair in [(luminance(shade), luminance(page))]
    }
    assert {key: ratio for key, ratio in ratios.items() if ratio < 3} == {}
