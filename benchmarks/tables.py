"""Tables, as text for a terminal and as Markdown for a document."""

from collections.abc import Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """What is shown; the first column reads from the left, the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        rows = [self.columns, *self.rows]
        widths = [max(len(row[number]) for row in rows) for number in range(len(self.columns))]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        return "\n".join([self.title, *lines, ""])

    def markdown(self) -> str:
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in [self.columns, rule, *self.rows]]
        return "\n".join([f"{self.title}:", "", *lines, ""])
