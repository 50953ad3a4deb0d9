"""Run all benchmarks, or the named ones, each in its own process: `python -m benchmarks calls`.

FULL=1 in the environment measures at scale. Exits with 1 if a benchmark failed, for example because a subject or a
reference did not count all its work; a missed limit is not a failure.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager

import django

from tests.support.paths import ROOT
from tests.support.services import Supervisor

from . import BENCHMARKS, RESULTS, server_pids
from .machine import machine, versions
from .page import limits_table, text


def main(*names):
    """Run benchmarks one after another, and print how they meet their limits."""
    chosen = names or tuple(BENCHMARKS)
    print("\n".join(f"{key}: {value}" for key, value in {**machine(), **versions()}.items()))
    begin = time.monotonic()
    failed = [name for name in chosen if start(name)]
    files = [file for name in chosen if (file := RESULTS / f"{name}.json").exists()]
    print(text(**limits_table([json.loads(file.read_text()) for file in files])))
    print(f"{time.monotonic() - begin:.0f} s in all.", f"FAILED: {', '.join(failed)}" if failed else "")
    return 1 if failed else 0


def start(name):
    """Remove a benchmark's earlier result, run it, and return its exit status."""
    print(f"\n=== {name} {'=' * 60}", flush=True)
    (RESULTS / f"{name}.json").unlink(missing_ok=True)
    begin = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "benchmarks", "--run", name], cwd=ROOT, check=False).returncode
    print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    return status


def run_here(name):
    """Start the servers, set Django up, and run a benchmark in this process."""
    with environment(BENCHMARKS[name]):
        django.setup()
        from .runner import Scale, run

        run(name, Scale.FULL if os.environ.get("FULL") == "1" else Scale.SHORT)


@contextmanager
def environment(servers):
    """Set up a folder, servers and settings for the duration of the block."""
    with tempfile.TemporaryDirectory(prefix="app-metrics-") as folder, ExitStack() as running:
        supervisors = [Supervisor([name], *["--durable"] * durable) for name, durable in servers.items()]
        for supervisor in supervisors:
            running.callback(supervisor.stop)
            supervisor.publish()
        os.environ |= {"APP_METRICS_TEST_DIRECTORY": folder, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
        server_pids.extend(supervisor.process.pid for supervisor in supervisors)
        yield


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_here(sys.argv[2])
    else:
        sys.exit(main(*sys.argv[1:]))
