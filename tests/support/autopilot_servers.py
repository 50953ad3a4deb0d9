"""The small site with an autopilot, on each kind of real server."""

import contextlib

import pytest

from scripts.server import HOST
from tests.support.small_server import environment, served

ASGI, WSGI = "tests.support.small_site:asgi", "tests.support.small_site:wsgi"
GUNICORN = ("gunicorn", "--config=example_project/gunicorn_conf.py", "--bind={bind}", WSGI)
# Several times so many seconds may pass before uvicorn replaces a worker that was killed just when it had pinged it.
PONG_SECONDS = 8
UVICORN = (
    *("uvicorn", f"--host={HOST}", "--port={port}", "--log-level=warning"),
    f"--timeout-worker-healthcheck={PONG_SECONDS}",
)
SERVERS = {
    "gunicorn sync": (*GUNICORN, "--threads=1"),
    "gunicorn gthread": GUNICORN,
    "gunicorn preloaded": (*GUNICORN, "--preload"),
    "gunicorn gevent": (*GUNICORN, "--worker-class=gevent"),
    "uvicorn": (*UVICORN, "--workers=2", ASGI),
    "daphne": ("daphne", f"--bind={HOST}", "--port={port}", "--verbosity=0", ASGI),
    "hypercorn": ("hypercorn", "--bind={bind}", "--log-level=warning", "--workers=2", ASGI),
    "runserver": ("tests.support.small_site", "runserver", "--noreload", "{bind}"),
}
PACKAGES = {"gunicorn gevent": "gevent", "daphne": "daphne", "hypercorn": "hypercorn"}
# Servers that replace a worker that was killed. The others end with it.
REPLACING = ("gunicorn sync", "gunicorn gthread", "gunicorn preloaded", "gunicorn gevent", "uvicorn")


@contextlib.contextmanager
def served_on_autopilot(server, database, folder, orders="", **settings):
    """Serve the small site; yield its address and the process of the server."""
    pytest.importorskip(PACKAGES.get(server, "gunicorn"))
    options = {"APP_METRICS_AUTOPILOT": True, "APP_METRICS_AUTOPILOT_INTERVAL": 1, "DEBUG": True, **settings}
    variables = {**environment(database, **options), "ORDERS": str(orders)}
    with served(SERVERS[server], variables, folder / "log") as (address, process):
        yield address, process
