"""Run the benchmarks in an environment of their own, with the peers installed; the arguments go to them.

As root on Debian, missing servers and the load tool are installed with apt-get first. What cannot be had here is named
as not measured.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from debian import MARIADB_DRIVER, SERVERS, provide_packages
from environment import ROOT, install_mysqlclient, prepare

LOAD = {"wrk": "wrk"}


def main(arguments: Sequence[str]) -> int:
    version = ".".join(platform.python_version_tuple()[:2])
    provide_packages({**SERVERS, **MARIADB_DRIVER, **LOAD}, {version: sys.executable})
    python = prepare("bench", "-e", ".[bench]")
    install_mysqlclient(python)
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path}
    return subprocess.run([python, "-m", "benchmarks", *arguments], cwd=ROOT, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
