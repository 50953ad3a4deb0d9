"""The rules in README.md and docs/ are right at the end of a project's settings."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.documentation import README, python_blocks
from tests.support.paths import ROOT

PAGES = [README, *sorted((ROOT / "docs" / "howto").glob("*.md"))]
RULES = re.compile(r"^APP_METRICS_(URLS|MODELS|SIGNALS|WEBSOCKETS|AUTH)\b.* \|?= ", re.MULTILINE)
SITE = ROOT / "tests" / "support" / "documented"


def all_blocks() -> list[str]:
    return [block for page in PAGES for block in python_blocks(page)]


def blocks_with_rules() -> list[str]:
    return [block for block in all_blocks() if RULES.search(block) and "INSTALLED_APPS" not in block]


def checked(blocks: list[str], folder: Path, *arguments: str) -> list[list[str]]:
    """Return what `manage.py check` finds in the settings of the documented shop with each of the blocks."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("APP_METRICS_TEST")},
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join([str(SITE), str(ROOT)]),
    }
    command = [sys.executable, str(SITE / "check_blocks.py"), *arguments]
    done = subprocess.run(
        command, input=json.dumps(blocks), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_rules_in_the_docs_pass_the_checks(tmp_path: Path) -> None:
    blocks = blocks_with_rules()
    found = checked(blocks, tmp_path)
    assert [(block, messages) for block, messages in zip(blocks, found, strict=True) if messages] == []


def test_rules_pasted_after_each_other_neither_erase_nor_double_any(tmp_path: Path) -> None:
    blocks = blocks_with_rules()
    found = checked(blocks, tmp_path, "pasted")
    assert [(block, messages) for block, messages in zip(blocks, found, strict=True) if messages] == []


def test_a_rule_that_would_erase_another_is_found(tmp_path: Path) -> None:
    """The test above would see a mistake in the documentation."""
    blocks = ['APP_METRICS_URLS["health"] = "checks"', 'APP_METRICS_URLS = {"shop:search": "searches"}']
    assert checked(blocks, tmp_path, "pasted") == [[], ["checks is lost"]]


def test_only_the_installation_adds_the_middleware() -> None:
    assert [block for block in all_blocks() if "MIDDLEWARE =" in block and "INSTALLED_APPS" not in block] == []


def test_no_example_erases_the_urls_of_the_project_or_includes_ours_twice() -> None:
    blocks = all_blocks()
    assert [block for block in blocks if re.search("^urlpatterns =", block, re.MULTILINE)] == []
    assert sum('include("app_metrics.urls")' in block for block in blocks) == 1


def test_a_rule_that_would_fail_is_found(tmp_path: Path) -> None:
    """The test above would see a mistake in the documentation."""
    block = 'APP_METRICS_MODELS = {"shop.Order": {"created": {"slug": "orders", "num": "price"}}}'
    [messages] = checked([block], tmp_path)
    assert "'price', which shop.Order does not have" in messages[0]
