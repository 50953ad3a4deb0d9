"""Everything that names the supported versions names those that the tests run on."""

import ast
import configparser
import re

import pytest

from tests.support.paths import ROOT

ASSIGNED = {
    node.targets[0].id: node.value
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
}
# Each Python with the Django that its tests run on.
DJANGO = ast.literal_eval(ASSIGNED["DJANGO"])
NEWEST = ast.literal_eval(ASSIGNED["NEWEST"])


def classifiers(start):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    found = [
        line.removeprefix(start) for line in setup["metadata"]["classifiers"].split("\n") if line.startswith(start)
    ]
    return [version for version in found if re.fullmatch(r"\d\.\d+", version)]


def test_the_classifiers_are_what_the_tests_run_on():
    assert classifiers("Programming Language :: Python :: ") == list(DJANGO)
    assert classifiers("Framework :: Django :: ") == sorted(set(DJANGO.values()))


def test_the_readme_and_the_table_name_the_oldest_and_the_newest():
    pythons, djangos = list(DJANGO), sorted(DJANGO.values())
    sentence = f"Python {pythons[0]} to {pythons[-1]}, Django {djangos[0]} to {djangos[-1]}"
    assert sentence in (ROOT / "README.md").read_text()
    table = (ROOT / "docs/operations.md").read_text()
    assert f"| Python | {pythons[0]} | {pythons[0]} | {pythons[-1]} |" in table
    assert f"| Django | {djangos[0]} | {djangos[0]} | {djangos[-1]} |" in table


def test_contributors_are_told_which_django_each_python_has():
    rows = re.findall(r"^\| (3\.\d+) \| (\d\.\d) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert dict(rows) == DJANGO


def test_ci_runs_every_python():
    matrix = re.search(r"python: (\[.*\])", (ROOT / ".github/workflows/ci.yml").read_text())
    assert ast.literal_eval(matrix[1]) == list(DJANGO)


def test_the_makefile_fetches_what_the_newest_sessions_run_on():
    makefile = (ROOT / "Makefile").read_text()
    sessions = " ".join(f"tests-{version}" for version in sorted(NEWEST))
    assert f"filter tests {sessions}," in makefile
    assert f"test-newest: SESSION = tests-{list(DJANGO)[-1]}\n" in makefile


@pytest.mark.parametrize("script", ["demo", "newer"])
def test_a_script_that_any_python_may_start_imports_the_check_of_the_version_first(script):
    """The other scripts have syntax that an older Python cannot read."""
    tree = ast.parse((ROOT / "scripts" / f"{script}.py").read_text())
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    ours = [name for name in imported if (ROOT / "scripts" / f"{name}.py").exists()]
    assert ours[0] == "environment"
