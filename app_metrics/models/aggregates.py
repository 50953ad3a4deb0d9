"""Summaries that the database merges itself, so that label sets need not travel one by one."""

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import Aggregate, Max, Min, Sum

from ..core.summary import Summary

# SQLite keeps decimals as text, which only Python adds exactly.
EXACT = ("postgresql", "mysql")


class Latest(Aggregate):
    """The number of the row with the latest time: `Latest("last", "last_at")`."""

    name = "Latest"
    arity = 2

    def _resolve_output_field(self) -> Any:
        return self.get_source_fields()[0]

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "(ARRAY_AGG(%(expressions)s DESC))[1]"
        return super().as_sql(compiler, connection, template=template, arg_joiner=" ORDER BY ", **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "CAST(SUBSTRING_INDEX(GROUP_CONCAT(%(expressions)s DESC), ',', 1) AS DECIMAL(38, 9))"
        return super().as_sql(compiler, connection, template=template, arg_joiner=" ORDER BY ", **context)


# What `app_metrics.core.summary.merge` does, in the order of a summary's fields.
MERGED = (Sum("count"), Sum("total"), Min("minimum"), Max("maximum"), Latest("last", "last_at"), Max("last_at"))


def are_exact(rows: Any) -> bool:
    """Tell whether the database of a queryset merges summaries exactly."""
    return connections[rows.db].vendor in EXACT


def merged(rows: Any, *by: str) -> Any:
    """Return the rows of a queryset of stored summaries as tuples: the columns it is merged by, and the summary."""
    names = [f"merged_{number}" for number, _ in enumerate(MERGED)]
    return rows.order_by().values(*by).annotate(**dict(zip(names, MERGED, strict=True))).values_list(*by, *names)


def fetched(rows: Any, of: Any) -> Any:
    """Return rows as they are read best, of the database of a queryset.

    Not by iterator() where it opens a cursor: PostgreSQL plans that as if its first rows were wanted soon, and took
    nine times as long. SQLite reads the rows one by one, of which there are many as it merges none.
    """
    return rows if are_exact(of) else rows.iterator()


def summary_of(values: Sequence[Any]) -> Summary:
    """Return the summary that the columns of a row hold; a count that was added up may come as a decimal."""
    count, *rest = values
    return Summary(int(count), *rest)
