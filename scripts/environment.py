"""Private virtual environments under .venvs/, created once and recreated when the requirements change.

As a command: ``python3 scripts/environment.py ARGUMENT...`` installs nox into one, and runs nox with the arguments.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - pip hides its own message, and may take minutes
    sys.exit(f"app_metrics needs Python 3.11 or later; this is {sys.version.split()[0]}. Use make PYTHON=python3.11.")

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"


def prepare(name: str, *requirements: str) -> str:
    """Return the Python of the environment `name`, with the pip `requirements` installed."""
    home = VENVS / name
    python = str(home / "bin" / "python")
    stamp = home / "installed"
    wanted = fingerprint(*requirements)
    if stamp.is_file() and stamp.read_text() == wanted and has_module(python, "sys"):
        return python
    print(f"Preparing .venvs/{name}: {' '.join(requirements)}", file=sys.stderr, flush=True)
    create(home)
    install(python, *requirements)
    stamp.write_text(wanted)
    return python


def fingerprint(*requirements: str) -> str:
    """Return a hash of everything that determines an environment's contents, and of the project's path."""
    digest = hashlib.sha256("\0".join([str(ROOT), sys.executable, *requirements]).encode())
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def create(home: Path) -> None:
    """Create an empty environment, without pip if Debian left out `ensurepip`."""
    command = [sys.executable, "-m", "venv", "--clear", str(home)]
    if not has_module(sys.executable, "ensurepip"):
        command.append("--without-pip")
    subprocess.run(command, check=True)


def install(python: str, *requirements: str) -> None:
    """Install with the environment's pip, or else this Python's; run it in the root, so that `.` is the project."""
    pip = [python, "-m", "pip"] if has_module(python, "pip") else [sys.executable, "-m", "pip", "--python", python]
    quietly = ["--quiet", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *quietly, "install", *requirements], cwd=ROOT, check=True)


def has_module(python: str, name: str) -> bool:
    """Return whether an interpreter runs and can import a module."""
    try:
        return subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def main(*arguments: str) -> None:
    python = prepare("bootstrap", "nox>=2025.2.9")
    os.chdir(ROOT)
    # Replace this process, so that Ctrl-C reaches only nox.
    os.execv(python, [python, "-m", "nox", *arguments])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"This command failed: {' '.join(error.cmd)}")
