"""The rules in README.md and docs/ are right at the end of a project's settings."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
RULES = re.compile(r"^APP_METRICS_(URLS|MODELS|SIGNALS|WEBSOCKETS|AUTH) =", re.MULTILINE)
SITE = ROOT / "tests" / "support" / "documented"


def blocks_with_rules() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)]
    return [block for block in blocks if RULES.search(block) and "INSTALLED_APPS" not in block]


def checked(blocks: list[str], folder: Path) -> list[list[str]]:
    """Return what `manage.py check` finds in the settings of the documented shop with each of the blocks."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("APP_METRICS_TEST")},
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join([str(SITE), str(ROOT)]),
    }
    command = [sys.executable, str(SITE / "check_blocks.py")]
    done = subprocess.run(
        command, input=json.dumps(blocks), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_rules_in_the_docs_pass_the_checks(tmp_path: Path) -> None:
    blocks = blocks_with_rules()
    found = checked(blocks, tmp_path)
    assert [(block, messages) for block, messages in zip(blocks, found, strict=True) if messages] == []


def test_a_rule_that_would_fail_is_found(tmp_path: Path) -> None:
    """The test above would see a mistake in the documentation."""
    block = 'APP_METRICS_MODELS = {"shop.Order": {"created": {"slug": "orders", "num": "price"}}}'
    [messages] = checked([block], tmp_path)
    assert "'price', which shop.Order does not have" in messages[0]
