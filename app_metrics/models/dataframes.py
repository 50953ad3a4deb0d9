"""A series as a DataFrame of pandas."""

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from ..conf import time_zone
from ..core.numbers import Number
from ..core.periods import HOUR, Period
from ..core.summary import NUMBER, SHOWN
from .queries import Point, point_headline

if TYPE_CHECKING:
    import pandas

MISSING = 'to_dataframe() needs pandas: run `pip install pandas`, or add the extra "pandas".'


def dataframe(kind: str, period: Period, points: Sequence[Point]) -> "pandas.DataFrame":
    """Return points as rows; see `Metric.to_dataframe()`. Raises ImportError without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(MISSING) from error
    columns: dict[str, Any] = {}
    for field in SHOWN:
        values = [getattr(point, field.name) for point in points]
        columns[field.name] = _floats(values) if field.holds == NUMBER else values
    columns["value"] = _floats([point_headline(kind, point) for point in points])
    types = {field.name: "float64" if field.holds == NUMBER else "int64" for field in SHOWN}
    return pandas.DataFrame(columns, index=_index(period, points)).astype({**types, "value": "float64"})


def _index(period: Period, points: Sequence[Point]) -> "pandas.DatetimeIndex":
    import pandas

    starts: Any = [point.start for point in points]
    if period != HOUR:
        return pandas.DatetimeIndex(starts, name="start")
    # By way of UTC, because an hour of the clock may come twice.
    times = pandas.DatetimeIndex([start.astimezone(UTC) for start in starts], name="start", tz=UTC)
    return times.tz_convert(time_zone())


def _floats(numbers: Sequence[Number | None]) -> list[float | None]:
    return [None if number is None else float(number) for number in numbers]
