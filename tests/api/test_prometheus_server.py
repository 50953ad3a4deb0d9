"""The real Prometheus reads our page, and finds the same percentiles in it."""

import json
import math
import random
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from app_metrics import collect, distribution, gauge, metric
from app_metrics.aggregation.run import aggregate
from app_metrics.api.classic_buckets import EXPOSED
from app_metrics.api.prometheus import latest
from app_metrics.core.histogram import bounds_of
from app_metrics.models import Metric
from app_metrics.recording.metrics import record
from scripts.server import HOST, free_port, stop
from tests.support.waiting import wait_until

PERCENTS = (50, 75, 90, 95, 99)
CONFIGURATION = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: site
    metrics_path: /stats/prometheus/
    authorization: {{credentials: secret}}
    static_configs: [{{targets: ["{target}"]}}]
"""


def program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"prometheus: the program {name} is not installed")
    return found


def record_all() -> None:
    chance = random.Random(5)
    with collect():
        metric("orders", 3, labels={"plan": "pro"})
        gauge("queue_length", 4)
        for place in range(200):
            record("export", "timer", Decimal(f"{chance.lognormvariate(-1, 1):.6f}"), {"format": "ab"[place % 2]})
            distribution("order_value", Decimal(f"{chance.lognormvariate(4, 1):.2f}"))
    aggregate()


class Prometheus:
    """A server that scrapes a site every second."""

    def __init__(self, folder: Path, target: str) -> None:
        self.address = f"{HOST}:{free_port()}"
        (folder / "prometheus.yml").write_text(CONFIGURATION.format(target=target))
        arguments = {"config.file": "prometheus.yml", "storage.tsdb.path": "data", "web.listen-address": self.address}
        command = [program("prometheus"), *(f"--{name}={value}" for name, value in arguments.items())]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)

    def ask(self, query: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the result of a query by its labels; empty as long as there is none."""
        try:
            with urlopen(f"http://{self.address}/api/v1/query?{urlencode({'query': query})}", timeout=30) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:  # not started yet
            assert self.process.poll() is None
            return {}
        return {
            tuple(sorted((name, value) for name, value in each["metric"].items() if name not in ("job", "instance"))): (
                float(each["value"][1])
            )
            for each in found
        }


@pytest.fixture
def prometheus(tmp_path, settings, live_server) -> Iterator[Prometheus]:
    settings.APP_METRICS_API_TOKENS = [sha256(b"secret").hexdigest()]
    found = Prometheus(tmp_path, live_server.url.removeprefix("http://"))
    yield found
    stop(found.process)


def exposed_bucket(kind: str, number: float) -> tuple[float, ...]:
    """Return the bounds between which a number is, of those that Prometheus gets."""
    bounds = [0.0, *(bounds_of(bucket)[1] for bucket in EXPOSED[kind]), math.inf]
    above = next(place for place, bound in enumerate(bounds) if bound >= number)
    return tuple(bounds[above - 1 : above + 1])


def test_promtool_finds_no_fault_in_our_page(database):
    record_all()
    page = latest("")[0]  # promtool does not read OpenMetrics, but the server below does
    done = subprocess.run([program("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.urls("tests.support.api_urls")
def test_a_server_that_scrapes_us_finds_our_percentiles_within_their_buckets(transactional_database, prometheus):
    record_all()
    # It may have scraped while we recorded.
    wait_until(lambda: prometheus.ask("sum(export_seconds_count) + sum(order_value_count)") == {(): 400})
    assert prometheus.ask("orders_total") == {(("__name__", "orders_total"), ("plan", "pro")): 3}
    for slug, name, kind in (("export", "export_seconds", "timer"), ("order_value", "order_value", "distribution")):
        for percent in PERCENTS:
            ours = Metric.objects.get(slug=slug).percentile("year", percent)
            theirs = prometheus.ask(f"histogram_quantile({percent / 100}, sum by (le) ({name}_bucket))")[()]
            lower, upper = exposed_bucket(kind, float(ours))
            assert lower <= theirs <= upper, (slug, percent, ours, theirs)
    by_format = prometheus.ask("histogram_quantile(0.95, export_seconds_bucket)")
    for name in "ab":
        ours = Metric.objects.get(slug="export").percentile("year", 95, labels={"format": name})
        lower, upper = exposed_bucket("timer", float(ours))
        assert lower <= by_format[("format", name),] <= upper
