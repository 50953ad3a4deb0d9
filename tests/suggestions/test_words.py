"""Names of models and fields as parts of slugs."""

import pytest

from app_metrics.suggestions.words import snake


@pytest.mark.parametrize(
    ("name", "expected"),
    [("OrderLine", "order_line"), ("HTTPError", "http_error"), ("Überweisung", "uberweisung"), ("日本", "")],
)
def test_a_name_becomes_the_part_of_a_slug(name, expected):
    assert snake(name) == expected
