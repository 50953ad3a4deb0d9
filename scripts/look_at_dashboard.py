"""Take screenshots of the example site's dashboard with demo history: wide and narrow, light and dark.

    python scripts/look_at_dashboard.py FOLDER [--days 400] [--requests 400] [--language de]

It needs the packages of the extra `test`, and Debian's chromium and chromium-driver.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import Browser, missing_program, open_browser
from server import create_database, manage, serve
from visitor import KEEPER, visit

DASHBOARD = "/admin/app_metrics/dashboard/"
PAGES = {
    "overview": DASHBOARD,
    "metric": f"{DASHBOARD}metric/orders/",
    "months": f"{DASHBOARD}metric/downloads/?range=24m",
    "split": f"{DASHBOARD}metric/items_sold/?range=91d&period=week&split=plan",
    "timer": f"{DASHBOARD}metric/checkout_seconds/",
    "health": f"{DASHBOARD}health/",
    "unused": f"{DASHBOARD}unused/",
}
WIDTHS, SCHEMES = (1200, 320), ("light", "dark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=400, help="days of history (default: 400)")
    parser.add_argument("--requests", type=int, default=400, help="requests of today's visitors (default: 400)")
    parser.add_argument("--language", default="en-gb")
    options = parser.parse_args()
    if missing_program():
        raise SystemExit(f"No pictures: there is no {missing_program()!r}.")
    options.folder.mkdir(parents=True, exist_ok=True)
    with site(options) as address, open_browser() as browser:
        browser.open(f"{address}{DASHBOARD}")
        browser.log_in(*KEEPER)
        for name, page in PAGES.items():
            for width in WIDTHS:
                for scheme in SCHEMES:
                    path = options.folder / f"{name}-{width}-{scheme}.png"
                    photograph(browser, address + page, width, scheme, path)
                    print(path)


@contextmanager
def site(options: argparse.Namespace) -> Iterator[str]:
    """Serve an example site with a history and today's visits, and yield its address."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "EXAMPLE_DATABASE": "sqlite",
            "EXAMPLE_DB_NAME": f"{folder}/db.sqlite3",
            "EXAMPLE_FAST_HASHER": "1",
            "EXAMPLE_LANGUAGE": options.language,
        }
        create_database(sys.executable, environment, KEEPER)
        manage(sys.executable, environment, "seed_history", f"--days={options.days}", "--verbosity=0")
        with serve("gunicorn", environment, Path(folder, "server.log")) as (address, _):
            visit(address, options.requests)
            manage(sys.executable, environment, "metrics_aggregate")
            yield address


def photograph(browser: Browser, url: str, width: int, scheme: str, path: Path) -> None:
    """Take a screenshot of a page, with the pointer over a point of its chart."""
    browser.be(width, scheme=scheme)
    browser.open(url)
    targets = browser.all(".app-metrics-chart .slot .target")
    if targets:
        browser.point_at(targets[len(targets) // 3])
    browser.photograph(str(path))


if __name__ == "__main__":
    main()
