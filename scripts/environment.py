"""Private virtual environments under .venvs/, made once and remade when the requirements change.

As a command: ``python3 scripts/environment.py EXTRAS ARGUMENT...`` installs this project with those extras
(``lint,test``) and runs that environment's Python with the arguments.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"


def prepare(name: str, *requirements: str, interpreter: str = sys.executable) -> str:
    """Return the Python of the environment `name`, in which the pip `requirements` are installed."""
    home = VENVS / name
    python = str(home / "bin" / "python")
    stamp = home / "installed"
    wanted = fingerprint(interpreter, *requirements)
    if stamp.is_file() and stamp.read_text() == wanted and works(python):
        return python
    print(f"Preparing .venvs/{name}: {' '.join(requirements)}", file=sys.stderr, flush=True)
    create(home, interpreter)
    install(python, *requirements)
    stamp.write_text(wanted)
    return python


def fingerprint(interpreter: str, *requirements: str) -> str:
    """Return a hash of all that decides what an environment holds, and of where the project is."""
    digest = hashlib.sha256("\0".join([str(ROOT), interpreter, *requirements]).encode())
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def works(python: str) -> bool:
    """Tell whether this interpreter really runs: a pyenv shim may be there and refuse."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def create(home: Path, interpreter: str) -> None:
    """Make an empty environment; where Debian left `ensurepip` out, this Python's pip serves it."""
    command = [interpreter, "-m", "venv", "--clear"]
    if has_module(interpreter, "ensurepip"):
        subprocess.run([*command, str(home)], check=True)
    else:
        subprocess.run([*command, "--without-pip", str(home)], check=True)


def install(python: str, *requirements: str) -> None:
    """Install with pip, in the project's root so that `.` is the project."""
    pip = [python, "-m", "pip"]
    if not has_module(python, "pip"):
        pip = [sys.executable, "-m", "pip", "--python", python]
    quietly = ["--quiet", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *quietly, "install", *requirements], cwd=ROOT, check=True)


def has_module(python: str, name: str) -> bool:
    """Tell whether this interpreter can import the module."""
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0


def install_mysqlclient(python: str) -> None:
    """Install the MariaDB driver, which is compiled; without it what needs MariaDB is named as missing."""
    if has_module(python, "MySQLdb"):
        return
    try:
        install(python, "mysqlclient>=2.2.1")
    except subprocess.CalledProcessError:
        print("mysqlclient could not be installed: it needs a C compiler, pkg-config and libmariadb-dev.")


def main(extras: str, *arguments: str) -> int:
    python = prepare(extras.replace(",", "-"), "-e", f".[{extras}]")
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run([python, *arguments], cwd=ROOT, env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"This command failed: {' '.join(error.cmd)}")
