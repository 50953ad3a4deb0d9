"""A site with its own database and settings, and its processes, as seen by the harness."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.support.paths import ROOT

# Seconds that a process of a short cell may take on a loaded machine.
PATIENCE = 120


class Killed(Exception):
    """The process ended without a result."""


class Failed(Exception):
    """The process raised; the message is its traceback."""


class Process:
    """A process that runs a function of `tests.soak.faults.roles`."""

    def __init__(self, path: str, request: Mapping[str, Any]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(path)
        self._answers = self._socket.makefile("r")
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        self._role = request["role"]
        self.pid: int = json.loads(self._answers.readline())

    def result(self) -> Any:
        """Wait for the end, and return the function's result. Raises Killed, Failed or TimeoutError."""
        try:
            line = self._answers.readline()
        except TimeoutError:
            raise TimeoutError(f"{self._role!r} has not ended after {PATIENCE} s") from None
        self._answers.close()
        self._socket.close()
        if not line:
            raise Killed
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["result"]

    def kill(self) -> bool:
        """Kill it with SIGKILL; return whether it was still running. Raises Failed if it had ended with an error."""
        self.end()
        try:
            self.result()
        except Killed:
            return True
        return False

    def end(self) -> None:
        """Make sure that it is not running."""
        if not self._answers.closed:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Site:
    """The nursery of a site's processes; all of them end with this process."""

    def __init__(self, directory: Path, databases: Mapping[str, Any], settings: Mapping[str, Any], *under: str) -> None:
        """Run the nursery under the command `under`, such as one that gives it its own file system."""
        self._path = str(directory / "nursery")
        self.directory = directory
        with (directory / "stderr").open("w") as errors:
            self._nursery = subprocess.Popen(
                [*under, sys.executable, "-m", "tests.soak.faults.nursery", self._path],
                cwd=ROOT,
                env={
                    **os.environ,
                    "APP_METRICS_FAULTS_SITE": json.dumps({"databases": databases, "settings": settings}),
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                text=True,
            )
        if not self._nursery.stdout.readline():
            raise Failed((directory / "stderr").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self, role: str, overrides: Mapping[str, Any] | None = None, **arguments: Any) -> Process:
        overrides = {"database": {}, "options": {}, **(overrides or {})}
        return Process(self._path, {"role": role, "arguments": arguments, "overrides": overrides})

    def run(self, role: str, **arguments: Any) -> Any:
        return self.start(role, **arguments).result()

    def close(self) -> None:
        self._nursery.stdin.close()
        self._nursery.stdout.close()
        self._nursery.wait()
