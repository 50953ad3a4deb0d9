"""Load on a server, by wrk: what it was answered in some seconds, and what that took."""

import json
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from .cpu import cpu_seconds

CONNECTIONS = 16

# What wrk prints last; answers of neither 2xx nor 3xx are among the errors.
REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format('\\n{"answered": %d, "rate": %f, "errors": %d, "p50": %f, "p99": %f}',
    summary.requests, summary.requests / summary.duration * 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""

# Answered requests, their number per second, median and 99th percentile of their seconds, and the processor time that
# each took of the site and of its servers.
Run = dict[str, float]


class Broken(Exception):
    """What was measured did not do what it was measured for."""


class Wrk:
    """Ask with one thread and 16 requests at a time, as fast as the answers come."""

    def __init__(self, folder: Path, seconds: int) -> None:
        """Raise Unavailable where it is not installed."""
        from tests.support.servers import find

        script = folder / "report.lua"
        script.write_text(REPORT)
        limits = f"--connections={CONNECTIONS}", f"--duration={seconds}s"
        # A connection for each request, as most proxies make them: connections that stay are all accepted by one of
        # gunicorn's workers now and then, which halves the rate of whoever it happens to.
        self.command = [find("wrk"), "--threads=1", *limits, "--header=Connection: close", f"--script={script}"]

    def ask(self, url: str, site: int, servers: Sequence[int]) -> Run:
        """Ask for a page all the time; the processes are the site's and its servers'. Raises Broken for any error."""
        require(url)
        before = cpu_seconds(site), cpu_seconds(*servers)
        printed = subprocess.run([*self.command, url], stdout=subprocess.PIPE, text=True, check=True).stdout
        run: Run = json.loads(printed.splitlines()[-1])
        if run["errors"] or not run["answered"]:
            raise Broken(f"{url} did not answer all that it was asked:\n{printed}")
        run["site"] = (cpu_seconds(site) - before[0]) / run["answered"]
        run["servers"] = (cpu_seconds(*servers) - before[1]) / run["answered"]
        return run


def require(url: str) -> None:
    """Raise Broken unless it is a page: a redirect would be measured as if it were one."""
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=30) as answer:
        if answer.status != 200 or answer.url != url:
            raise Broken(f"{url} answers {answer.status}, at {answer.url}.")
