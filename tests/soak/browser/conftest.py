"""The example site on a real server, and a real browser: one of each per process."""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from scripts.browser import Browser, missing_program, open_browser
from scripts.server import manage, serve
from scripts.visitor import Login, visit
from tests.soak.browser.inserting import ADMIN, INSERT_HOSTILE, INSERT_PEOPLE, PASSWORD
from tests.support import scope

REQUESTS = 120
# The tests of charts need months; five pages do not.
DAYS = 190 if scope.everything else 30


class Site(NamedTuple):
    """The address of the site, and the environment of its management commands."""

    address: str
    environment: dict[str, str]

    def url(self, path: str) -> str:
        return self.address + path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve a site with weeks of history, today's visits, a view-only user and a metric with a hostile name."""
    if missing_program():
        pytest.skip(f"chromium: the program {missing_program()} is not installed")
    folder = tmp_path_factory.mktemp("site")
    environment = {
        "EXAMPLE_DATABASE": "sqlite",
        "EXAMPLE_DB_NAME": str(folder / "db.sqlite3"),
        "EXAMPLE_FAST_HASHER": "1",
    }
    manage(sys.executable, environment, "migrate", "--verbosity=0")
    manage(sys.executable, environment, "seed_history", f"--days={DAYS}")
    manage(sys.executable, environment, "shell", "-c", INSERT_PEOPLE + INSERT_HOSTILE)
    with serve("gunicorn", environment, folder / "server.log") as (address, _):
        visit(address, REQUESTS, concurrency=2, keeper=Login(ADMIN, PASSWORD))
        manage(sys.executable, environment, "metrics_aggregate")
        yield Site(address, environment)


@pytest.fixture(scope="session")
def running(site: Site) -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def cookies(site: Site, running: Browser) -> list[dict[str, Any]]:
    """The cookies of a logged-in administrator."""
    running.forget()
    running.open(site.url("/admin/login/"))
    running.log_in(ADMIN, PASSWORD)
    return list(running.driver.get_cookies())


@pytest.fixture
def stranger(site: Site, running: Browser) -> Iterator[Browser]:
    """A fresh browser without cookies; the test fails if its console holds an error at the end."""
    running.be()
    running.forget()
    yield running
    assert running.complaints() == []


@pytest.fixture
def browser(stranger: Browser, site: Site, cookies: list[dict[str, Any]]) -> Browser:
    """The same browser, logged in as an administrator."""
    stranger.forget()
    for cookie in cookies:
        stranger.remember(site.address, cookie)
    return stranger
