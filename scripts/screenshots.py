"""Take screenshots of the example site's dashboard: wide and narrow, light and dark, in themes, and right to left.

    python scripts/screenshots.py [FOLDER] [--days 400] [--requests 400] [--looks light rtl]

It needs the packages of the extra `test`, django-unfold and django-jazzmin, and Debian's chromium and chromium-driver.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from browser import Browser, missing_program, open_browser
from figures import BACKFILL
from server import create_database, manage, serve
from visitor import KEEPER, visit

DASHBOARD = "/admin/app_metrics/dashboard/"
PAGES = {
    "overview": DASHBOARD,
    "metric": f"{DASHBOARD}metric/orders/",
    "split": f"{DASHBOARD}metric/items_sold/?range=91d&period=week&split=plan",
    "timer": f"{DASHBOARD}metric/checkout_seconds/",
    "health": f"{DASHBOARD}health/",
}
WIDTHS = (1280, 768, 360)


class Look(NamedTuple):
    """The settings of the site, and the colours that the browser prefers."""

    environment: Mapping[str, str] = MappingProxyType({})
    scheme: str = "light"


LOOKS = {
    "light": Look(),
    "dark": Look(scheme="dark"),
    "unfold": Look({"EXAMPLE_THEME": "unfold"}),
    "unfold-dark": Look({"EXAMPLE_THEME": "unfold"}, "dark"),
    "jazzmin": Look({"EXAMPLE_THEME": "jazzmin"}),
    "rtl": Look({"EXAMPLE_LANGUAGE": "ar"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("screenshots"))
    parser.add_argument("--days", type=int, default=400, help="days of history (default: 400)")
    parser.add_argument("--requests", type=int, default=400, help="requests of today's visitors (default: 400)")
    parser.add_argument("--looks", nargs="+", choices=LOOKS, default=list(LOOKS), metavar="LOOK", help=", ".join(LOOKS))
    options = parser.parse_args()
    if missing_program():
        raise SystemExit(f"No screenshots: there is no {missing_program()!r}.")
    options.folder.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser, database(options, browser) as environment:
        for name in options.looks:
            for path in photograph(browser, environment, name, options.folder):
                print(path)


@contextmanager
def database(options: argparse.Namespace, browser: Browser) -> Iterator[dict[str, str]]:
    """Fill the database of an example site with a history and today's visits, log in, and yield the environment."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "EXAMPLE_DATABASE": "sqlite",
            "EXAMPLE_DB_NAME": f"{folder}/db.sqlite3",
            "EXAMPLE_FAST_HASHER": "1",
        }
        create_database(sys.executable, environment, KEEPER)
        manage(sys.executable, environment, "seed_history", f"--days={options.days}", "--verbosity=0")
        manage(sys.executable, environment, *BACKFILL, "--verbosity=0")
        with serve("gunicorn", environment, Path(folder, "server.log")) as (address, _):
            visit(address, options.requests)
            # Cookies ignore ports, so the session is valid in each look; the login forms of themes differ.
            browser.open(f"{address}{DASHBOARD}")
            browser.log_in(*KEEPER)
        manage(sys.executable, environment, "metrics_aggregate")
        yield environment


def photograph(browser: Browser, environment: Mapping[str, str], name: str, folder: Path) -> Iterator[Path]:
    """Take a screenshot of each page in one look, with the pointer over a point of its chart."""
    look = LOOKS[name]
    with serve("gunicorn", {**environment, **look.environment}, folder / "server.log") as (address, _):
        for page, url in PAGES.items():
            for width in WIDTHS:
                browser.be(width, scheme=look.scheme)
                browser.open(address + url)
                targets = browser.all(".app-metrics-chart .slot .target")
                if targets:
                    browser.point_at(targets[len(targets) // 3])
                path = folder / f"{page}-{width}-{name}.png"
                browser.photograph(str(path))
                yield path


if __name__ == "__main__":
    main()
