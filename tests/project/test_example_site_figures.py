"""The figures that the example site shows are those of its own tables, and the demo finds those that are not."""

import copy
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from scripts.figures import (
    BACKFILL,
    DASHBOARD,
    FIGURES,
    PERCENTILE,
    FigureRow,
    agrees,
    compare_figures,
    dashboard_paths,
    days,
)
from scripts.server import create_database, manage, serve
from scripts.visitor import KEEPER, read_pages, visit
from tests.support.example_site import sqlite

Read = tuple[dict[str, Any], dict[str, str]]


def after_midnight() -> str:
    """Return a time zone in which it is between midnight and one o'clock now."""
    hour = datetime.now(UTC).hour
    return f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}"


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """Yield the figures of a site with a history and visitors of today, which has just begun."""
    folder = tmp_path_factory.mktemp("figures")
    with sqlite("shop", folder) as database:
        more = {"EXAMPLE_FAST_HASHER": "1", "EXAMPLE_ACCESS_LOG": "1", "EXAMPLE_TIME_ZONE": after_midnight()}
        site = {**database, **more}
        create_database(sys.executable, site, KEEPER)
        for command in (("seed_history", "--days=15"), ("metrics_aggregate",), BACKFILL):
            manage(sys.executable, site, *command)
        with serve("gunicorn", site, folder / "server.log") as (address, _):
            visit(address, 200, 8)
            yield same_day(address, site)


def same_day(address: str, site: dict[str, str]) -> Read:
    while True:
        pages = read_pages(address, dashboard_paths())
        figures = json.loads(manage(sys.executable, site, "show_figures"))
        if len(days(figures, pages)) == 1:
            return figures, pages


def wrong(rows: list[FigureRow]) -> set[tuple[str, str]]:
    return {(row.figure.split(",")[0], row.period) for row in rows if not row.ok}


def test_the_figures_that_are_shown_are_those_of_the_sites_own_tables(read: Read) -> None:
    """In the terminal, in the mail and on the dashboard, in the first hour of a day."""
    rows = compare_figures(*read)
    assert wrong(rows) == set()
    places = {(row.figure, place) for row in rows for place in ("terminal", "dashboard", "mail") if getattr(row, place)}
    assert len(places) == 3 * len(FIGURES)


def test_active_users_of_the_week_are_not_the_sum_of_its_days(read: Read) -> None:
    own, printed = read[0]["own"]["last week"]["active_users"], read[0]["terminal"]["active_users"]["day"]
    a_day = max(int(line.split()[1]) for line in printed.splitlines() if line.startswith("20"))
    assert a_day < int(own[0]) < 7 * a_day


@pytest.mark.parametrize("slug", FIGURES)
def test_another_figure_of_the_sites_own_tables_is_found(slug: str, read: Read) -> None:
    figures, pages = copy.deepcopy(read[0]), read[1]
    lowest, _ = figures["own"]["yesterday"][slug]
    figures["own"]["yesterday"][slug] = [str(float(lowest) * 1.03)] * 2
    assert wrong(compare_figures(figures, pages)) == {(slug, "yesterday")}


@pytest.mark.parametrize("slug", FIGURES)
def test_another_figure_in_the_terminal_is_found(slug: str, read: Read) -> None:
    figures, pages = copy.deepcopy(read[0]), read[1]
    printed = figures["terminal"][slug]
    # Two blanks and a digit begin a cell.
    printed["month"] = re.sub(r"(?<=  )(?=\d)", "7", printed["month"])
    assert wrong(compare_figures(figures, pages)) == {(slug, "this month")}


@pytest.mark.parametrize("slug", FIGURES)
def test_another_figure_on_the_dashboard_is_found(slug: str, read: Read) -> None:
    figures, pages = read
    before, row, after = re.split(rf'(<tr id="(?:row|ratio)-{slug}">.*?</tr>)', pages[DASHBOARD], flags=re.DOTALL)
    changed = before + row.replace("<td>", "<td>7").replace("p95 ", "p95 7") + after
    found = wrong(compare_figures(figures, {**pages, DASHBOARD: changed}))
    assert (slug, "yesterday") in found
    assert {other for other, _ in found} == {slug}


@pytest.mark.parametrize("slug", FIGURES)
def test_another_figure_in_the_mail_is_found(slug: str, read: Read) -> None:
    figures, pages = read
    before, line = figures["mail"].split(f"\n{FIGURES[slug][0]}  ")
    changed = line.replace("p95: ", "p95: 7", 1) if slug == PERCENTILE else f"7{line.lstrip()}"
    mail = f"{before}\n{FIGURES[slug][0]}  {changed}"
    assert wrong(compare_figures({**figures, "mail": mail}, pages)) == {(slug, "last week")}


@pytest.mark.parametrize(
    ("slug", "bounds", "text", "is_right"),
    [
        ("checkout_seconds", ("0.0400", "0.0410"), "41.4 ms", True),
        ("checkout_seconds", ("0.0400", "0.0410"), "41.6 ms", False),
        ("checkout_seconds", ("0.0400", "0.0410"), "39.3 ms", False),
        ("checkout_seconds", ("1.2", "1.2"), "1.21 s", True),
        ("active_users", ("999", "999"), "1,000", False),
        ("active_users", ("5000", "5000"), "about 5,100 ± 1.6 %", True),
        ("active_users", ("5000", "5000"), "about 5,400 ± 1.6 %", False),
        ("conversion", ("33.3333", "33.3333"), "33.33 %", True),
        ("conversion", ("33.3333", "33.3333"), "33.34 %", False),
        ("average_order", ("1234.5", "1234.5"), "1,234.50 €", True),
        ("average_order", ("1234.5", "1234.5"), "–", False),
        ("average_order", None, "n/a", True),
        ("average_order", None, "1 €", False),
    ],
)
def test_a_figure_is_right_if_it_is_as_exact_as_promised(
    slug: str, bounds: tuple[str, str] | None, text: str, is_right: bool
) -> None:
    assert agrees(slug, bounds, text) is is_right
