"""Run all benchmarks, or the named ones, each in its own process: `python -m benchmarks calls`.

FULL=1 in the environment measures at scale. Exits with 1 if a benchmark failed, for example because a subject or a
reference did not count all its work; a missed limit is not a failure, because it depends on the machine.
"""

import json
import os
import subprocess
import sys
import time
from argparse import SUPPRESS, ArgumentParser
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory

import django

from tests.support.paths import ROOT

from . import BENCHMARKS, RESULTS, server_pids
from .machine import facts
from .page import limits_table, text


def main(*names):
    """Run benchmarks one after another, and print how they meet their limits."""
    chosen, failed, begin = names or tuple(BENCHMARKS), [], time.monotonic()
    print(facts())
    for name in chosen:
        print(f"\n=== {name} {'=' * 60}", flush=True)
        (RESULTS / f"{name}.json").unlink(missing_ok=True)
        start, command = time.monotonic(), [sys.executable, "-m", "benchmarks", "--run", name]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    results = [json.loads(file.read_text()) for name in chosen if (file := RESULTS / f"{name}.json").exists()]
    print(text(**limits_table(results)))
    print(f"{time.monotonic() - begin:.0f} s in all.", f"FAILED: {', '.join(failed)}" if failed else "")
    return 1 if failed else 0


def run_here(name):
    """Start the servers, set Django up, and run a benchmark in this process."""
    with environment(BENCHMARKS[name]):
        django.setup()
        from .runner import Scale, run

        run(name, Scale.FULL if os.environ.get("FULL") == "1" else Scale.SHORT)


@contextmanager
def environment(servers):
    """Set up a folder, servers and settings for the duration of the block."""
    from tests.support.services import Supervisor  # it imports pytest, which started processes do not need

    with TemporaryDirectory(prefix="app-metrics-") as folder, ExitStack() as running:
        supervisors = [Supervisor([name], *["--durable"] * durable) for name, durable in servers.items()]
        for supervisor in supervisors:
            running.callback(supervisor.stop)
            supervisor.publish()
            server_pids.append(supervisor.process.pid)
        os.environ |= {"APP_METRICS_TEST_DIRECTORY": folder, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
        yield


if __name__ == "__main__":
    parser = ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--run", help=SUPPRESS)
    arguments = parser.parse_args()
    sys.exit(run_here(arguments.run) if arguments.run else main(*arguments.names))
