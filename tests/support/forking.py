"""Fork the process of the tests, and let processes that forked die."""

import os
import signal
import subprocess
import sys
import warnings

from tests.support.paths import ROOT

# The end of a script: record in a process and in its fork, and kill both.
_RECORD_AND_DIE = """
import os, signal
from app_metrics import metric
for _ in range(100):
    metric("orders")
child = os.fork()
if not child:
    metric("child")
else:
    os.waitpid(child, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def record_and_die(setup: str, *arguments: object) -> None:
    """Run a script that records 100 orders, and one child in a fork of it, until both kill themselves."""
    command = [sys.executable, "-c", f"import sys\n{setup}\n{_RECORD_AND_DIE}", *map(str, arguments)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=120, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def fork() -> int:
    """Fork as `os.fork()` does, without Python's warning about further threads.

    pytest-xdist has one in each process, which holds no lock that the children of these tests need.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return os.fork()
