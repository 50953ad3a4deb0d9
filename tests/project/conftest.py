"""The wheel, and an environment in which README.md's command has installed it."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.documentation import README, steps
from tests.support.paths import ROOT
from tests.support.wheels import run


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source)
    for name in ("app_metrics", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wheelhouse(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and what it needs, for pip to take instead of an index; and freezegun and pip itself."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", ".", str(wheel), "freezegun", "pip", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def new_environment(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with the wheel and nothing else, installed as README.md says."""
    folder = tmp_path_factory.mktemp("new")
    venv.create(folder)
    # Not by ensurepip, which Debian has in a package of its own.
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"))
    run(*pip, "install", "--quiet", "--no-index", "--find-links", str(wheelhouse), "pip", cwd=folder)
    [command] = [step.text for step in steps(README) if step.text.startswith("pip ")]
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheelhouse)}
    subprocess.run(["sh", "-c", command], cwd=folder, env=environment, check=True)
    return str(folder / "bin" / "python")
