"""The sdist and the wheel: what they hold, and that the wheel counts in an empty environment."""

import configparser
import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts.dist import Refused, check_tags, compare, complete_links, files, in_wheel, repack
from tests.support.paths import ROOT
from tests.support.wheels import run


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    packed = in_wheel(wheel)
    compare(wheel, packed, {f"app_metrics/{name}" for name in files(ROOT / "app_metrics")})
    assert {"app_metrics/py.typed", "app_metrics/migrations/0001_app_metrics.py"} <= packed


@pytest.mark.slow
def test_the_wheel_counts_in_an_empty_environment(new_environment: str, tmp_path: Path) -> None:
    assert "one request counted" in run(new_environment, str(ROOT / "scripts" / "fresh_project.py"), cwd=tmp_path)


def test_a_wheel_without_a_file_is_refused(tmp_path: Path) -> None:
    incomplete = tmp_path / "incomplete.whl"
    with zipfile.ZipFile(incomplete, "w") as packed:
        packed.writestr("app_metrics/__init__.py", "")
    with pytest.raises(Refused, match=r"incomplete\.whl lacks app_metrics/py\.typed\."):
        compare(incomplete, in_wheel(incomplete), {"app_metrics/__init__.py", "app_metrics/py.typed"})


def test_a_wheel_with_a_foreign_file_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.whl"
    with zipfile.ZipFile(foreign, "w") as packed:
        packed.writestr("tests/__init__.py", "")
    with pytest.raises(Refused, match=r"foreign\.whl should not have tests/__init__\.py\."):
        compare(foreign, in_wheel(foreign), set())


def test_an_sdist_is_the_same_whenever_and_by_whomever_it_is_built(tmp_path: Path) -> None:
    first, second = tmp_path / "first.tar.gz", tmp_path / "second.tar.gz"
    pack(first, ["a", "b"], modified=1790000000.25, owner=1000)
    pack(second, ["b", "a"], modified=1790000001.75, owner=0)
    for sdist in (first, second):
        repack(sdist, 1780000000)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as packed:
        assert [member.name for member in packed] == ["a", "b"]
        assert packed.extractfile("b").read() == b"b"


def pack(sdist: Path, names: list[str], modified: float, owner: int) -> None:
    with tarfile.open(sdist, "w:gz") as packed:
        for name in names:
            path = sdist.parent / name
            path.write_text(name)
            os.utime(path, (modified, modified))
            member = packed.gettarinfo(path, name)
            member.uid = owner
            with path.open("rb") as content:
                packed.addfile(member, content)


def test_a_tag_of_another_version_is_refused() -> None:
    check_tags("1.0.0", ["v1.0.0"])
    check_tags("1.0.0", ["nightly"])
    with pytest.raises(Refused, match=r"v1\.0\.1 is not that of version 1\.0\.0"):
        check_tags("1.0.0", ["v1.0.1"])


def test_links_on_the_page_of_the_index_lead_into_the_repository(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("[a](docs/a.md#b) ![two\nlines](c.png) [d](#d) [e](https://e.example/e)")
    complete_links(readme, "https://forge.example/us/it", "1.0.0")
    assert readme.read_text() == (
        "[a](https://forge.example/us/it/blob/v1.0.0/docs/a.md#b)"
        " ![two\nlines](https://forge.example/us/it/raw/v1.0.0/c.png) [d](#d) [e](https://e.example/e)"
    )


def test_the_release_tries_the_wheel_on_every_supported_python() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    supported = re.findall(r"Python :: (\d\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    [matrix] = re.findall(r"python: \[(.*)\]", (ROOT / ".github" / "workflows" / "release.yml").read_text())
    assert set(supported) <= set(re.findall(r"\d\.\d+", matrix))


def test_the_newest_version_in_the_changelog_is_that_of_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\d\S*)", changelog, re.MULTILINE)[0] == setup["metadata"]["version"]


def test_an_installed_package_leaves_pytest_alone_in_a_project_without_django(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    assert "1 passed" in run(sys.executable, "-m", "pytest", "--quiet", str(tmp_path), cwd=tmp_path)
