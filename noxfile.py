"""The sessions of development, each in its own environment under .venvs/nox/. `make` runs them; see CONTRIBUTING.md.

A session installs its packages again only when setup.cfg or pyproject.toml changes.
"""

import os
import time
from pathlib import Path

import nox

# Each supported Python, with the Django that its tests run on.
DJANGO = {"3.11": "5.2", "3.12": "6.0", "3.13": "6.1", "3.14": "6.1", "3.15": "6.1"}
# The Pythons whose tests run on the newest servers; those of the others run on the machine's, which are older.
NEWEST = {"3.14", "3.15"}
NEWER = Path(".venvs/newer").absolute()  # what scripts/newer.py has fetched
NEWEST_SERVERS = ("postgresql", "mariadb", "mysql", "redis")
TESTS_OF_REDIS = ("tests/backends/test_redis.py", "tests/soak/test_redis.py")
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
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *(str(NEWER / f"python{version}/bin") for version in DJANGO)])


@nox.session(python=list(DJANGO))
def tests(session: nox.Session) -> None:
    """Run pytest on one Python and its Django; the arguments go to pytest.

    APP_METRICS_TEST_SCOPE chooses the tests: `default`, `all` or `soak`.
    """
    begin = time.monotonic()
    install(session, "-e", ".[test]", f"Django~={DJANGO[str(session.python)]}.0")
    install_mysqlclient(session)
    session.log(f"Set-up took {time.monotonic() - begin:.0f} s.")
    begin = time.monotonic()
    try:
        run_pytest(session, *session.posargs)
        if session.python in NEWEST and (NEWER / "valkey/bin").exists() and not session.posargs:
            run_pytest(session, *TESTS_OF_REDIS, valkey=True)
    finally:
        session.log(f"The tests took {time.monotonic() - begin:.0f} s.")


def run_pytest(session: nox.Session, *arguments: str, valkey: bool = False) -> None:
    """Run pytest in as many processes as there are cores; with scope `all`, the first Python also measures coverage.

    Not with pytest-cov, which starts measuring after the project's own pytest plugin has imported the package.
    """
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    pytest = ["pytest", f"--numprocesses={processes}", *arguments]
    env = test_environment(session, valkey=valkey)
    if not is_everything() or session.python != next(iter(DJANGO)):
        # pytest stops the servers in its own time after Ctrl-C.
        session.run(*pytest, env=env, interrupt_timeout=None)
        return
    session.run("coverage", "erase", env=env)
    try:
        session.run("coverage", "run", "-m", *pytest, env=env, interrupt_timeout=None)
    finally:
        session.run("coverage", "combine", "--quiet", env=env)
        session.run("coverage", "report", env=env)


def test_environment(session: nox.Session, *, valkey: bool) -> dict[str, str]:
    newest = session.python in NEWEST
    # Debian's stable release has no MySQL, so that no machine's own is left out.
    servers = NEWEST_SERVERS if newest else ("mysql",) if is_everything() else ()
    env = {
        "APP_METRICS_TEST_REPORT": str(Path(f".venvs/tested/{session.name}{'-valkey' * valkey}.json").absolute()),
        "COVERAGE_FILE": str(Path(".coverage").absolute()),
        "PATH": path_to_servers(session, *["valkey"] * valkey, *servers),
        # Images for containers often forbid compiled files; then each process that a test starts compiles everything.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    # What Debian's unstable release has today may not start everywhere; the table of versions names what is missing.
    return env | ({"APP_METRICS_REQUIRE_SERVERS": "0"} if newest and NEWER.exists() else {})


def is_everything() -> bool:
    return os.environ.get("APP_METRICS_TEST_SCOPE") == "all"


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style, types, import layers and missing migrations."""
    install(session, "-e", ".[lint,test]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy", "app_metrics")
    session.run("pytest", "-p", "no:tests.support.services", "--quiet", "tests/project/test_architecture.py")
    settings = ("--settings", "tests.settings", "--pythonpath", ".")
    session.run("django-admin", "makemigrations", "--check", "--dry-run", *settings)


@nox.session
def screenshots(session: nox.Session) -> None:
    """Take screenshots of the dashboard in several themes of the admin; the arguments go to the script."""
    install(session, "-e", ".[test]", "django-jazzmin>=3", "django-unfold>=0.90")
    session.run("python", "scripts/screenshots.py", *session.posargs)


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
    env = {"PATH": path_to_servers(session)}
    session.run("python", "-m", "benchmarks", *session.posargs, env=env, interrupt_timeout=None)


@nox.session
def faults(session: nox.Session) -> None:
    """Make servers, networks and processes fail while others record; the arguments go to tests.soak.faults."""
    install(session, "-e", ".[test,mariadb]")
    env = {"PATH": path_to_servers(session, "mysql")}
    session.run("python", "-m", "tests.soak.faults", *session.posargs, env=env, interrupt_timeout=None)


def path_to_servers(session: nox.Session, *names: str) -> str:
    """Return PATH with servers that scripts/newer.py has fetched, if it has; they come before those of the system."""
    return os.pathsep.join([session.bin, *(str(NEWER / name / "bin") for name in names), os.environ["PATH"]])


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
