"""What Debian's packages bring: installed with apt-get where that is ours to do, else named."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from environment import has_module

# Programs, each with the package that brings it: servers, and what builds mysqlclient.
SERVERS = {"postgres": "postgresql", "mariadbd": "mariadb-server", "redis-server": "redis-server"}
MARIADB_DRIVER = {"gcc": "gcc", "pkg-config": "pkg-config", "mariadb_config": "libmariadb-dev"}

# While these files exist, apt neither starts a service nor creates a database cluster of Debian's own.
QUIET = {
    "/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    "/etc/postgresql-common/createcluster.d/app-metrics-tests.conf": "create_main_cluster = false\n",
}


def provide_packages(programs: Mapping[str, str], pythons: Mapping[str, str]) -> None:
    """Install with apt-get what is missing of programs, given with their packages, and of Pythons; or say what is."""
    missing = [*missing_programs(programs), *missing_python_packages(pythons)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"Not installed here (Debian's names): {', '.join(missing)}. What needs them will be left out.")
        return
    print(f"Installing with apt-get: {', '.join(missing)}", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with quiet_debian():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "--quiet=2", *command], env=environ, stdin=subprocess.DEVNULL, check=False)


def missing_programs(programs: Mapping[str, str]) -> list[str]:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", *glob.glob("/usr/lib/postgresql/*/bin")])
    return [package for program, package in programs.items() if not shutil.which(program, path=path)]


def missing_python_packages(pythons: Mapping[str, str]) -> Iterator[str]:
    """Yield what Debian splits off from its own Pythons: the headers, and the tools behind `venv`."""
    for version, interpreter in pythons.items():
        script = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_path('include'))"
        answer = subprocess.run([interpreter, "-c", script], capture_output=True, text=True, check=True).stdout
        prefix, include = re.fullmatch(r"(\S+) (\S+)\n", answer).groups()
        if prefix == "/usr" and not Path(include, "Python.h").exists():
            yield f"python{version}-dev"
        if prefix == "/usr" and not has_module(interpreter, "ensurepip"):
            yield f"python{version}-venv"


@contextmanager
def quiet_debian() -> Iterator[None]:
    """Keep apt from starting services, and leave no trace of that."""
    with ExitStack() as stack:
        for path in map(Path, QUIET):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(QUIET[str(path)])
                path.chmod(0o755)
                stack.callback(path.unlink)
        yield
