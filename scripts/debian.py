"""Install the programs that a Makefile target needs with apt-get, as root on Debian; elsewhere print their names.

Called as ``python3 scripts/debian.py TARGET``.
"""

import glob
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

# Programs and their packages: the servers and what compiles mysqlclient, then those that only some targets need.
SERVERS = {
    "postgres": "postgresql",
    "mariadbd": "mariadb-server",
    "redis-server": "redis-server",
    "gcc": "gcc",
    "pkg-config": "pkg-config",
    "mariadb_config": "libmariadb-dev",
}
BROWSER = {"chromium": "chromium", "chromedriver": "chromium-driver"}
TESTS = {**SERVERS, "xgettext": "gettext", "prometheus": "prometheus", **BROWSER}
LONG_TESTS = {**TESTS, "rabbitmq-server": "rabbitmq-server"}
PROGRAMS = {
    "test": TESTS,
    "test-newest": TESTS,
    "test-all": LONG_TESTS,
    "soak": LONG_TESTS,
    "bench": {**SERVERS, "wrk": "wrk"},
    "screenshots": BROWSER,
}

# These files stop apt from starting services and creating Debian's own database cluster.
QUIET = {
    "/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    "/etc/postgresql-common/createcluster.d/app-metrics-tests.conf": "create_main_cluster = false\n",
}


def main(target: str) -> None:
    missing = [*missing_programs(target), *missing_python_packages()]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"Not installed here (Debian's names): {', '.join(missing)}. What needs them is skipped.")
        return
    print(f"Installing with apt-get: {', '.join(missing)}", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with quiet_debian():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "--quiet=2", *command], env=environ, stdin=subprocess.DEVNULL, check=False)


def missing_programs(target: str) -> list[str]:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", *glob.glob("/usr/lib/postgresql/*/bin")])
    return [package for program, package in PROGRAMS[target].items() if not shutil.which(program, path=path)]


def missing_python_packages() -> Iterator[str]:
    """Yield the packages that Debian's own Python lacks, if this is one: the headers, and the tools behind `venv`."""
    version = sysconfig.get_python_version()
    if sys.base_prefix == "/usr" and not Path(sysconfig.get_path("include"), "Python.h").exists():
        yield f"python{version}-dev"
    if sys.base_prefix == "/usr" and not find_spec("ensurepip"):
        yield f"python{version}-venv"


@contextmanager
def quiet_debian() -> Iterator[None]:
    """Keep apt from starting services for the duration of the block."""
    with ExitStack() as stack:
        for path in map(Path, QUIET):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(QUIET[str(path)])
                path.chmod(0o755)
                stack.callback(path.unlink)
        yield


if __name__ == "__main__":
    main(*sys.argv[1:])
