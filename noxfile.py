"""The sessions of development, each in its own environment under .venvs/nox/. `make` runs them; see CONTRIBUTING.md.

A session installs its packages again only when setup.cfg or pyproject.toml changes.
"""

import json
import os
import time
from pathlib import Path

import nox

# Each supported Python, with the Django that its tests run on.
DJANGO = {"3.11": "5.2", "3.12": "6.0", "3.13": "6.1"}
# Each test process has its own databases on the private servers.
MOST_PROCESSES = 4

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.envdir = ".venvs/nox"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]

# A pyenv shim runs only the versions named in PYENV_VERSION, and the shim that runs `make` names just its own.
PYENV_VERSIONS = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
if installed := [version for version in DJANGO if any(PYENV_VERSIONS.glob(f"{version}.*"))]:
    os.environ["PYENV_VERSION"] = ":".join(installed)


@nox.session(python=list(DJANGO))
def tests(session: nox.Session) -> None:
    """Run pytest on one Python and its Django; the arguments go to pytest.

    APP_METRICS_TEST_SCOPE chooses the tests: `default`, `all` or `soak`.
    """
    begin = time.monotonic()
    install(session, "-e", ".[test]", f"Django~={DJANGO[str(session.python)]}.0")
    install_mysqlclient(session)
    session.log(f"Set-up took {time.monotonic() - begin:.0f} s.")
    missing = Path(session.virtualenv.location, "missing.json")
    missing.unlink(missing_ok=True)
    begin = time.monotonic()
    try:
        # Images for containers often forbid compiled files; then each process that a test starts compiles everything.
        run_pytest(session, {"APP_METRICS_TEST_REPORT": str(missing), "PYTHONDONTWRITEBYTECODE": ""})
    finally:
        session.log(f"The tests took {time.monotonic() - begin:.0f} s.")
        for name, reason in json.loads(missing.read_text() if missing.exists() else "{}").items():
            session.log(f"Not tested: {name}: {reason}")


def run_pytest(session: nox.Session, env: dict[str, str]) -> None:
    """Run pytest in as many processes as there are cores; with scope `all`, the first Python also measures coverage.

    Not with pytest-cov, which starts measuring after the project's own pytest plugin has imported the package.
    """
    measured = os.environ.get("APP_METRICS_TEST_SCOPE") == "all" and session.python == next(iter(DJANGO))
    env["PATH"] = path_to_servers(session)
    env["COVERAGE_FILE"] = str(Path(".coverage").absolute())
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    pytest = ["pytest", f"--numprocesses={processes}", *session.posargs]
    if not measured:
        # pytest stops the servers in its own time after Ctrl-C.
        session.run(*pytest, env=env, interrupt_timeout=None)
        return
    session.run("coverage", "erase", env=env)
    try:
        session.run("coverage", "run", "-m", *pytest, env=env, interrupt_timeout=None)
    finally:
        session.run("coverage", "combine", "--quiet", env=env)
        session.run("coverage", "report", env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style, types, import floors and missing migrations."""
    install(session, "-e", ".[lint,test]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", "app_metrics")
    session.run("pytest", "-p", "no:tests.support.services", "--quiet", "tests/project/test_architecture.py")
    settings = ("--settings", "tests.settings", "--pythonpath", ".")
    session.run("django-admin", "makemigrations", "--check", "--dry-run", *settings)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html."""
    install(session, "-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def dist(session: nox.Session) -> None:
    """Build the sdist and the wheel of the last commit into dist/, and check them."""
    session.install("--require-hashes", "-r", "requirements/release.txt")
    session.run("python", "scripts/dist.py")


@nox.session(python=list(DJANGO), reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Install the wheel from dist/ into an empty environment, and count a request in a fresh project."""
    built = list(Path("dist").glob("*.whl"))
    if len(built) != 1:
        session.error("dist/ needs one wheel; run `make dist`")
    session.install(str(built[0]))
    session.run("python", "scripts/fresh_project.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks with their peers installed; the arguments go to the benchmarks."""
    install(session, "-e", ".[bench]")
    install_mysqlclient(session)
    session.run("python", "-m", "benchmarks", *session.posargs, interrupt_timeout=None)


@nox.session
def faults(session: nox.Session) -> None:
    """Make servers, networks and processes fail while others record; the arguments go to tests.soak.faults."""
    install(session, "-e", ".[test,mariadb]")
    env = {"PATH": path_to_servers(session)}
    session.run("python", "-m", "tests.soak.faults", *session.posargs, env=env, interrupt_timeout=None)


def path_to_servers(session: nox.Session) -> str:
    """Return PATH with the servers that scripts/newer.py has fetched; they come before those of the system."""
    fetched = sorted(map(str, Path(".venvs/newer").absolute().glob("*/bin")))
    return os.pathsep.join([session.bin, *fetched, os.environ["PATH"]])


def install(session: nox.Session, *requirements: str) -> None:
    """Install the requirements, unless the environment was made from the same ones."""
    stamp = Path(session.virtualenv.location, "installed")
    metadata = [Path(name).read_text() for name in ("setup.cfg", "pyproject.toml")]
    wanted = "\n".join([os.getcwd(), *requirements, *metadata])
    if not stamp.exists() or stamp.read_text() != wanted:
        session.install(*requirements)
        stamp.write_text(wanted)


def install_mysqlclient(session: nox.Session) -> None:
    """Install MariaDB's driver, which needs a compiler; without it the tests on MariaDB skip and say so."""
    session.install("mysqlclient>=2.2.1", success_codes=[0, 1], silent=True)
