"""Run the tests on every supported Python that is here; the arguments go to pytest.

Each Python gets the Django named in SUPPORTED and an environment of its own. The first one runs the long tests at
full length (APP_METRICS_TEST_FULL=1) and measures their coverage. What takes minutes runs only where
APP_METRICS_TEST_LONG=1 is given. As root on Debian, missing servers are installed with apt-get first.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from environment import ROOT, has_module, install, prepare, works

SUPPORTED = {"3.11": "5.2", "3.12": "6.0", "3.13": "6.1"}

# What a run needs, and the Debian package that brings it. The last three build mysqlclient.
SERVERS = {"postgres": "postgresql", "mariadbd": "mariadb-server", "redis-server": "redis-server"}
TOOLS = {"xgettext": "gettext"}
BUILD = {"gcc": "gcc", "pkg-config": "pkg-config", "mariadb_config": "libmariadb-dev"}

# Each process has databases of its own on the private servers.
MOST_PROCESSES = 4

# While these files exist, apt neither starts a service nor creates a database cluster of Debian's own.
QUIET = {
    "/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    "/etc/postgresql-common/createcluster.d/app-metrics-tests.conf": "create_main_cluster = false\n",
}


def main(arguments: Sequence[str]) -> int:
    pythons = find_pythons()
    if not pythons:
        print(f"No Python {', '.join(SUPPORTED)} was found: install one of them, or put it on PATH.")
        return 1
    provide_packages(pythons)
    rows = []
    for number, (version, interpreter) in enumerate(pythons.items()):
        rows.append(test(version, interpreter, full=number == 0, arguments=arguments))
    print_table(rows)
    return 0 if all(row["result"] == "passed" for row in rows) else 1


def find_pythons() -> dict[str, str]:
    """Return the path of a working interpreter for each supported version that is here."""
    found = {}
    for version in SUPPORTED:
        here = [path for path in candidates(version) if works(path)]
        if here:
            found[version] = here[0]
    return found


def candidates(version: str) -> Iterator[str]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        yield from sorted(glob.glob(f"{root}/versions/{version}.*/bin/python"), reverse=True)


def test(version: str, interpreter: str, *, full: bool, arguments: Sequence[str]) -> dict[str, str]:
    """Run the suite on one interpreter and return its row of the closing table."""
    django = SUPPORTED[version]
    print(f"\n=== Python {version}, Django {django} {'=' * 50}", flush=True)
    row = {"python": version, "django": django, "result": "not installed", "not tested": ""}
    try:
        python = prepare(f"test-{version}", "-e", ".[test]", f"Django~={django}.0", interpreter=interpreter)
    except subprocess.CalledProcessError as error:
        print(f"This command failed: {' '.join(error.cmd)}")
        return row
    install_mysqlclient(python)
    with tempfile.NamedTemporaryFile() as report:
        environ = {"APP_METRICS_TEST_FULL": "1" if full else "", "APP_METRICS_TEST_REPORT": report.name}
        row["result"] = "passed" if run_pytest(python, arguments, environ, measured=full) == 0 else "FAILED"
        row["not tested"] = ", ".join(json.loads(Path(report.name).read_text() or "{}"))
    return row


def install_mysqlclient(python: str) -> None:
    """Install the MariaDB driver, which is compiled; without it the tests on MariaDB are named as missing."""
    if has_module(python, "MySQLdb"):
        return
    try:
        install(python, "mysqlclient>=2.2.1")
    except subprocess.CalledProcessError:
        print("mysqlclient could not be installed: it needs a C compiler, pkg-config and libmariadb-dev.")


def run_pytest(python: str, arguments: Sequence[str], environ: Mapping[str, str], *, measured: bool) -> int:
    """Run pytest in as many processes as there are cores; where it is measured, print the coverage.

    Not with pytest-cov: our own pytest plugin imports the package before pytest-cov measures.
    """
    environ = {**os.environ, **environ, "COVERAGE_FILE": str(ROOT / ".coverage")}
    pytest = ["pytest", f"--numprocesses={min(os.cpu_count() or 1, MOST_PROCESSES)}", *arguments]

    def coverage(*command: str) -> int:
        return subprocess.run([python, "-m", "coverage", *command], cwd=ROOT, env=environ, check=False).returncode

    if not measured:
        return subprocess.run([python, "-m", *pytest], cwd=ROOT, env=environ, check=False).returncode
    coverage("erase")
    result = coverage("run", "-m", *pytest)
    coverage("combine", "--quiet")
    coverage("report")
    return result


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    print(f"\n{'Python':8}{'Django':8}{'Result':16}Not tested, for want of a server")
    for row in rows:
        print(f"{row['python']:8}{row['django']:8}{row['result']:16}{row['not tested'] or '-'}")
    for version, django in SUPPORTED.items():
        if version not in {row["python"] for row in rows}:
            print(f"{version:8}{django:8}{'not found':16}-")


def provide_packages(pythons: Mapping[str, str]) -> None:
    """Install with apt-get what is missing, or say what is."""
    missing = [*missing_programs(), *missing_python_packages(pythons)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"Not installed here (Debian's names): {', '.join(missing)}. Tests that need them will be skipped.")
        return
    print(f"Installing with apt-get: {', '.join(missing)}", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with quiet_debian():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "--quiet=2", *command], env=environ, stdin=subprocess.DEVNULL, check=False)


def missing_programs() -> list[str]:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", *glob.glob("/usr/lib/postgresql/*/bin")])
    needed = {**SERVERS, **TOOLS, **BUILD}
    return [package for program, package in needed.items() if not shutil.which(program, path=path)]


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
