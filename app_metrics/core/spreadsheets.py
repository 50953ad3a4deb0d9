"""Texts for CSV files that people open in spreadsheets."""

import re

# Spreadsheets run a cell that begins with one of "=+-@" as a formula. Where commas are decimal, semicolons or tabs end
# cells, also between quotes.
FORMULA = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r])")
ESCAPE = "'"


def escaped(text: str) -> str:
    """Return a text with an apostrophe before each place that a spreadsheet would run as a formula."""
    return FORMULA.sub(rf"\1{ESCAPE}", text)
