"""The wheel, built from a copy of the tree and used in an empty environment."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.scope import everything

PACKAGE = ROOT / "app_metrics"

SITE = """
import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "app_metrics"],
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)

import app_metrics
from app_metrics import metric
from app_metrics.models import Metric

metric("x", 3)
call_command("metrics_aggregate", verbosity=0)
print(app_metrics.__file__, Metric.objects.get(slug="x").total("day"))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source)
    for name in ("app_metrics", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


def run(*command: str, cwd: Path) -> str:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "DJANGO", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {str(path.relative_to(ROOT)) for path in files}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {"app_metrics/py.typed", "app_metrics/migrations/0001_app_metrics.py"} <= packed


@pytest.mark.skipif(not everything, reason="installs a wheel and what it needs: run by `make test-all`")
def test_the_wheel_counts_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    where, total = run(python, "-c", SITE, cwd=tmp_path).split()
    assert Path(where).is_relative_to(tmp_path)
    assert total == "3"


def test_an_installed_package_leaves_pytest_alone_in_a_project_without_django(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    assert "1 passed" in run(sys.executable, "-m", "pytest", "--quiet", str(tmp_path), cwd=tmp_path)
