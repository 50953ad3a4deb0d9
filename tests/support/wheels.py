"""Run a Python that has its own packages."""

import os
import subprocess
from pathlib import Path


def run(*command: str, cwd: Path) -> str:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "DJANGO", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
