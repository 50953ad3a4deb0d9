"""The keys of rules, each counted through the real request handler."""

from pathlib import Path

import pytest

import app_metrics
from app_metrics.contrib.model_rules import model_keys
from app_metrics.contrib.rule_keys import KEYS
from app_metrics.contrib.url_rules import URL_KEYS
from tests.testapp.models import Tag

DOCUMENTED = Path(app_metrics.__file__).parents[1] / "docs" / "howto" / "rules.md"


@pytest.mark.parametrize(
    ("keys", "where"), [(KEYS, "everywhere"), (URL_KEYS, "URLs"), (model_keys(Tag, "created"), "`created` of models")]
)
def test_the_documentation_has_a_row_for_each_key_with_its_meaning(keys, where):
    text = DOCUMENTED.read_text()
    assert [name for name, key in keys.items() if f"| `{name}` | {key.meaning} | {where} |" not in text] == []
