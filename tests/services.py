"""A pytest plugin that gives a test run its private database servers.

It starts them before Django's settings are read and publishes each one's coordinates as JSON in an environment
variable (APP_METRICS_TEST_POSTGRESQL, …), which xdist's workers and the tests' own subprocesses inherit. A variable
that is already set is taken as it is and no server is started for it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from .servers import SERVERS

# The servers that this run does without, and why. The tests that need them skip with the reason.
missing: dict[str, str] = json.loads(os.environ.get("APP_METRICS_TEST_MISSING", "{}"))


def variable(name: str) -> str:
    return f"APP_METRICS_TEST_{name.upper()}"


class Supervisor:
    """The process that runs the servers; it ends with this one, whatever ends this one."""

    def __init__(self, names: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervisor", *names],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for pytest, which then stops us in order
            text=True,
        )

    def publish(self) -> None:
        """Wait for the servers and tell the environment where they are."""
        answer = self.process.stdout.readline()
        if not answer:
            raise pytest.UsageError("tests.supervisor ended without an answer; its error is above")
        news = json.loads(answer)
        missing.update(news["missing"])
        os.environ["APP_METRICS_TEST_MISSING"] = json.dumps(missing)
        os.environ["APP_METRICS_TEST_DIRECTORY"] = news["directory"]
        for name, coordinates in news["servers"].items():
            os.environ[variable(name)] = json.dumps(coordinates)

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    if "tests.settings" in sys.modules:
        raise pytest.UsageError("Django's settings were read before the servers ran")
    wanted = [name for name in SERVERS if variable(name) not in os.environ and name not in missing]
    option = early_config.known_args_namespace
    if wanted and not (option.help or option.version):
        supervisor = Supervisor(wanted)
        early_config.add_cleanup(supervisor.stop)
        supervisor.publish()
    report()
    return (yield)


def report() -> None:
    """Tell who asked what is missing; under CI that is a failure."""
    if "APP_METRICS_TEST_REPORT" in os.environ:
        Path(os.environ["APP_METRICS_TEST_REPORT"]).write_text(json.dumps(missing))
    required = os.environ.get("CI") == "true" or os.environ.get("APP_METRICS_REQUIRE_SERVERS") == "1"
    if required and missing:
        raise pytest.UsageError("\n".join(["These servers are required and missing:", *lines()]))


def lines() -> list[str]:
    return [f"{name}: {reason}" for name, reason in sorted(missing.items())]


def pytest_report_header() -> str:
    running = [name for name in SERVERS if variable(name) in os.environ]
    return f"servers: {', '.join(running) or 'none'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing:
        terminalreporter.section("NOT TESTED, for want of a server", yellow=True, bold=True)
        for line in lines():
            terminalreporter.line(line)
