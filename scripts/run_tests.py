"""Run the tests on every supported Python that is here; the arguments go to pytest.

Each Python gets the Django named in SUPPORTED and an environment of its own. The first one runs the long tests at
full length (APP_METRICS_TEST_FULL=1) and measures their coverage. What takes minutes runs only where
APP_METRICS_TEST_LONG=1 is given. As root on Debian, missing servers and Chromium are installed with apt-get first.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from debian import MARIADB_DRIVER, SERVERS, provide_packages
from environment import ROOT, install_mysqlclient, prepare, works

SUPPORTED = {"3.11": "5.2", "3.12": "6.0", "3.13": "6.1"}

# What only the tests need, and the Debian package that brings it.
BROKER = {"rabbitmq-server": "rabbitmq-server"}
BROWSER = {"chromium": "chromium", "chromedriver": "chromium-driver"}
TOOLS = {"xgettext": "gettext"}

# Each process has databases of its own on the private servers.
MOST_PROCESSES = 4


def main(arguments: Sequence[str]) -> int:
    pythons = find_pythons()
    if not pythons:
        print(f"No Python {', '.join(SUPPORTED)} was found: install one of them, or put it on PATH.")
        return 1
    provide_packages({**SERVERS, **MARIADB_DRIVER, **BROKER, **BROWSER, **TOOLS}, pythons)
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
    print(f"\n{'Python':8}{'Django':8}{'Result':16}Not tested, for want of a program")
    for row in rows:
        print(f"{row['python']:8}{row['django']:8}{row['result']:16}{row['not tested'] or '-'}")
    for version, django in SUPPORTED.items():
        if version not in {row["python"] for row in rows}:
            print(f"{version:8}{django:8}{'not found':16}-")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
