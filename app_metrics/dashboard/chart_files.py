"""The numbers of a chart as CSV and as data for JSON."""

import csv
from typing import Any

from ..core.numbers import plain
from ..core.spreadsheets import escaped
from .charts import VALUE, Chart


def write_chart(stream: Any, chart: Chart) -> None:
    """Write a chart as CSV: the start of each period, and the exact numbers of each of the chart's columns."""
    writer = csv.writer(stream, lineterminator="\r\n")
    names = [column.title if column.role == VALUE else column.key for column in chart.columns]
    writer.writerow(["start", *map(escaped, names)])
    for index, start in enumerate(chart.starts):
        numbers = (column.numbers[index] for column in chart.columns)
        writer.writerow([start.isoformat(), *("" if number is None else plain(number) for number in numbers)])


def chart_data(chart: Chart) -> dict[str, Any]:
    """Return a chart as data for JSON; numbers are exact decimals as text, null if there are none."""
    selection = chart.selection
    return {
        "slug": chart.metric.slug,
        "kind": chart.metric.kind,
        "unit": chart.metric.unit,
        "period": selection.period,
        "first": selection.first.isoformat(),
        "last": selection.last.isoformat(),
        "split": selection.split,
        "where": dict(selection.where),
        "starts": [start.isoformat() for start in chart.starts],
        "columns": [
            {
                "role": column.role,
                "key": column.key,
                "numbers": [None if number is None else plain(number) for number in column.numbers],
            }
            for column in chart.columns
        ],
        "annotations": [each.as_data(selection.period) for mark in chart.marks for each in mark.annotations],
    }
