"""Summaries by the numbers they are made of, so that tests do not depend on the list of fields."""

from base64 import b64encode

from app_metrics.core.histogram import Histogram
from app_metrics.core.numbers import Number
from app_metrics.core.summary import FIELDS, NO_SKETCHES, Summary, from_values, merge_all, of_kind, single
from app_metrics.core.uniques import Uniques


def summary_of(*numbers: Number, at: int = 0) -> Summary:
    """Return the summary of numbers recorded in this order, the last one at a time in microseconds."""
    return merge_all(Summary(*single(number, 0)) for number in numbers)._replace(last_at=at)


def measured(*numbers: Number, at: int = 0) -> Summary:
    """Return the same for numbers of a timer or distribution, which have a histogram."""
    return summary_of(*numbers, at=at)._replace(histogram=Histogram(numbers))


def seen(*hashes: int, at: int = 0) -> Summary:
    """Return the summary of a unique count of hashes."""
    return summary_of(*[1] * len(hashes), at=at)._replace(uniques=Uniques(hashes))


def stored_summary(kind: str, *values) -> Summary:
    """Return the summary of an item's columns."""
    fields, sketches = values[: len(FIELDS)], values[len(FIELDS) :] or NO_SKETCHES
    texts = [None if data is None else b64encode(data).decode() for data in sketches]
    return of_kind(kind, from_values(fields, texts))
