"""A point of the small charts of a report."""

from datetime import date
from typing import NamedTuple

from ..core.numbers import Number


class ReportPoint(NamedTuple):
    """One point of a series; its value is None if a gauge or timer recorded nothing, or if there is no ratio."""

    start: date
    value: Number | None
