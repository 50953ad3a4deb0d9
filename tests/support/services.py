"""A pytest plugin that gives a test run its private servers, and reports what is missing.

It starts them before Django's settings are read, and publishes each one's coordinates as JSON in an environment
variable (APP_METRICS_TEST_POSTGRESQL, …), which xdist's workers and the tests' own subprocesses inherit. If a variable
is already set, it is used as is, and no server is started for it. Servers in ON_DEMAND start at the first call of
`demand`, once for all processes of a run.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from scripts.browser import missing_program
from tests.support import scope
from tests.support.paths import ROOT
from tests.support.servers import ON_DEMAND, OPTIONAL, SERVERS, Unavailable, find
from tests.support.supervisor import SOCKET

# The servers and programs that this run lacks, with the reasons. Tests that need them are skipped with the reason.
missing: dict[str, str] = json.loads(os.environ.get("APP_METRICS_TEST_MISSING", "{}"))


def variable(name: str) -> str:
    return f"APP_METRICS_TEST_{name.upper()}"


class Supervisor:
    """The process that runs the servers; it ends with this process, even after a kill."""

    def __init__(self, names: Sequence[str], *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.supervisor", *names, *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches only pytest, which then stops the servers cleanly
            text=True,
        )

    def answer(self) -> Any:
        """Wait for a line, and return its JSON value."""
        line = self.process.stdout.readline()
        if not line:
            raise pytest.UsageError("tests.support.supervisor ended without an answer; its error is above")
        return json.loads(line)

    def order(self, order: str) -> None:
        """Have the supervisor carry out `kill NAME` or `restart NAME`."""
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        self.answer()

    def publish(self) -> None:
        """Wait for the servers, and publish their coordinates in the environment."""
        news = self.answer()
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
    chosen = [name for name in SERVERS if scope.everything or name not in OPTIONAL or SERVERS[name].is_installed()]
    wanted = [name for name in chosen if variable(name) not in os.environ and name not in missing]
    option = early_config.known_args_namespace
    if wanted and not (option.help or option.version):
        supervisor = Supervisor(wanted)
        early_config.add_cleanup(supervisor.stop)
        supervisor.publish()
    note_programs()
    note_on_demand()
    require()
    return (yield)


def note_programs() -> None:
    """Note which of the programs that tests start themselves are missing."""
    prometheus = next((name for name in ("prometheus", "promtool") if not shutil.which(name)), None)
    for name, program in {"chromium": missing_program(), "prometheus": prometheus}.items():
        if program:
            missing[name] = f"the program {program} is not installed"


def note_on_demand() -> None:
    for name, server in ON_DEMAND.items():
        try:
            if variable(name) not in os.environ:
                find(server.program)
        except Unavailable as error:
            missing[name] = str(error)


def demand(name: str) -> dict[str, str]:
    """Return a server's coordinates, and start it if necessary; skip the test if it is unavailable."""
    if "APP_METRICS_TEST_DIRECTORY" not in os.environ:
        missing.setdefault(name, "all other servers were given, so that nobody starts it")
    if variable(name) not in os.environ and name not in missing:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(f"{os.environ['APP_METRICS_TEST_DIRECTORY']}/{SOCKET}")
            asking.sendall(f"{name}\n".encode())
            answer = json.load(asking.makefile())
        if answer["missing"]:  # the program exists, so this is a failure
            raise RuntimeError(f"{name}: {answer['missing'][name]}")
        os.environ[variable(name)] = json.dumps(answer["servers"][name])
    if name in missing:
        pytest.skip(f"{name}: {missing[name]}")
    found: dict[str, str] = json.loads(os.environ[variable(name)])
    return found


def require() -> None:
    """Raise an error if a program is missing that must not be: under CI, unless APP_METRICS_REQUIRE_SERVERS is 0."""
    required = os.environ.get("APP_METRICS_REQUIRE_SERVERS", str(int(os.environ.get("CI") == "true"))) == "1"
    # By default, no test needs the servers that start on demand.
    needed = missing.keys() - OPTIONAL - (set() if scope.everything else ON_DEMAND.keys())
    if required and needed:
        raise pytest.UsageError("\n".join(["These programs are required and missing:", *lines()]))


def lines() -> list[str]:
    return [f"{name}: {reason}" for name, reason in sorted(missing.items())]


def pytest_report_header() -> str:
    running = [name for name in SERVERS if variable(name) in os.environ]
    return f"servers: {', '.join(running) or 'none'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing:
        terminalreporter.section("NOT TESTED, for want of a program", yellow=True, bold=True)
        for line in lines():
            terminalreporter.line(line)
