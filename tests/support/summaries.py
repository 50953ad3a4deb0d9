"""Summaries by the numbers they are made of, so that tests do not depend on the list of fields."""

from app_metrics.core.numbers import Number
from app_metrics.core.summary import Summary, merge_all, single


def summary_of(*numbers: Number, at: int = 0) -> Summary:
    """Return the summary of numbers recorded in this order, the last one at a time in microseconds."""
    return merge_all(Summary(*single(number, 0)) for number in numbers)._replace(last_at=at)
