"""The tables of the predecessor: their names, how to recognise them, and how to read their rows.

Two of them have the name of a table of ours. The others have names of their own, so that one look at the names of all
tables distinguishes an old database from a new one.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from django.db import models
from django.db.migrations.state import ModelState, ProjectState
from django.utils import timezone

from ..core.periods import DAY, MONTH, WEEK, YEAR, Period
from ..setting_values import MAX_YEAR, MIN_YEAR

APP = "app_metrics"
METRIC, SET = "app_metrics_metric", "app_metrics_metricset"
# Tables that stay, although the adoption changes them.
KEPT = (METRIC, SET)
ITEM, GAUGE = "app_metrics_metricitem", "app_metrics_gauge"
OF_PERIODS = {
    DAY: "app_metrics_metricday",
    WEEK: "app_metrics_metricweek",
    MONTH: "app_metrics_metricmonth",
    YEAR: "app_metrics_metricyear",
}
# Tables that only the predecessor has.
OLD = (ITEM, *OF_PERIODS.values(), GAUGE)
# The table that holds how far an adoption has come; it exists until the adoption is finished.
PROGRESS = "app_metrics_adoption"


class CannotAdopt(Exception):
    """The database is not one that can be adopted, or the numbers differ; then the history is not written."""


class OldMetric(NamedTuple):
    """A row of the old table of metrics."""

    pk: int
    name: str
    slug: str


class OldSet(NamedTuple):
    """A row of the old table of metric sets."""

    pk: int
    name: str
    no_email: bool
    send_daily: bool
    send_weekly: bool
    send_monthly: bool


class OldGauge(NamedTuple):
    """A row of the old table of gauges."""

    name: str
    slug: str
    value: Decimal
    updated: datetime


def aside(table: str) -> str:
    """Return the name under which the rows of an old table are kept: "app_metrics_old_metricday"."""
    return table.replace("app_metrics_", "app_metrics_old_", 1)


def tables_of(connection: Any) -> set[str]:
    return set(connection.introspection.table_names())


def to_adopt(connection: Any) -> list[str]:
    """Return the tables that show that a database is to be adopted, or that its adoption is not finished."""
    return sorted({PROGRESS, *OLD} & tables_of(connection))


def missing(connection: Any) -> list[str]:
    """Return the tables that each old version had and that are neither in their place nor aside."""
    found = tables_of(connection)
    return [table for table in (*KEPT, ITEM, *OF_PERIODS.values()) if not {table, aside(table)} & found]


def twice(connection: Any) -> list[str]:
    """Return the tables that an earlier adoption has put aside, and that are in their place again."""
    found = tables_of(connection)
    # Those that stay are copied, so a killed run leaves them in both places.
    candidates = OLD if PROGRESS in found else (*KEPT, *OLD)
    return [table for table in candidates if {table, aside(table)} <= found]


def kept_aside(connection: Any) -> list[str]:
    """Return the tables with the old rows, which an adoption leaves."""
    return sorted({aside(table) for table in (*KEPT, *OLD)} & tables_of(connection))


class OldRows:
    """Read the old rows, which are still in their tables, or aside already."""

    def __init__(self, connection: Any) -> None:
        self._alias = connection.alias
        self._tables = tables_of(connection)
        state = ProjectState()
        for name, fields in _MODELS.items():
            options = {"db_table": self._found(f"{APP}_{name}")}
            rows = [("id", models.BigAutoField(primary_key=True)), *((key, make()) for key, make in fields.items())]
            state.add_model(ModelState(APP, name, rows, options))
        self._models = state.apps

    def metrics(self) -> list[OldMetric]:
        return [OldMetric(*row) for row in self._rows(METRIC, "id", "name", "slug").order_by("id")]

    def sets(self) -> list[OldSet]:
        return [OldSet(*row) for row in self._rows(SET, "id", *OldSet._fields[1:]).order_by("id")]

    def gauges(self) -> list[OldGauge]:
        """Return the gauges; versions before 0.8 had none."""
        if not self._exists(GAUGE):
            return []
        rows = self._rows(GAUGE, "name", "slug", "current_value", "updated").order_by("id")
        for _, slug, _, updated in rows:
            if not _is_possible(updated):
                raise _impossible(f"The gauge {slug} in {self._found(GAUGE)}", updated)
        return [OldGauge(name, slug, value, _aware(updated)) for name, slug, value, updated in rows]

    def totals(self, metric: int, period: Period) -> Iterator[tuple[date, int]]:
        """Yield date and number of each row of a metric."""
        yield from self._of(metric, OF_PERIODS[period])

    def items(self, metric: int) -> Iterator[tuple[datetime, int]]:
        """Yield time and number of each pending item of a metric."""
        for created, number in self._of(metric, ITEM):
            yield _aware(created), number

    def strays(self, metrics: Iterable[int]) -> int:
        """Return the number of rows whose metric does not exist; SQLite and MyISAM did not always refuse them."""
        known = set(metrics)
        found = 0
        for table in (ITEM, *OF_PERIODS.values()):
            rows = self._rows(table, "metric_id").annotate(rows=models.Count("id")).order_by()
            found += sum(number for metric, number in rows if metric not in known)
        return found

    def _of(self, metric: int, table: str) -> Iterator[tuple[Any, int]]:
        rows = self._rows(table, "id", "created", "num").filter(metric_id=metric).order_by("id")
        for pk, created, number in rows.iterator():
            if not _is_possible(created):
                slug = self._rows(METRIC, "slug").get(id=metric)[0]
                raise _impossible(f"Row {pk} of {self._found(table)}, of the metric {slug},", created)
            yield created, number

    def _rows(self, table: str, *columns: str) -> Any:
        model = self._models.get_model(APP, table.removeprefix(f"{APP}_"))
        return model._base_manager.using(self._alias).values_list(*columns)

    def _exists(self, table: str) -> bool:
        return self._found(table) in self._tables

    def _found(self, table: str) -> str:
        return aside(table) if aside(table) in self._tables else table


def _is_possible(moment: date | None) -> bool:
    """Return whether time zones and periods have room; MariaDB and MySQL have a date of zeros, which is None."""
    return moment is not None and MIN_YEAR <= moment.year <= MAX_YEAR


def _impossible(what: str, moment: date | None) -> CannotAdopt:
    return CannotAdopt(
        f"{what} has the date {moment or '0000-00-00'}. Correct or delete it: dates are from the years {MIN_YEAR} to "
        f"{MAX_YEAR}."
    )


def _aware(moment: date) -> datetime:
    """Return a time as it was meant: the predecessor used the time zone of the project; early versions, dates only."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - made aware below
    return moment if moment.tzinfo else timezone.make_aware(moment, timezone.get_default_timezone())


_flag = partial(models.BooleanField, default=False)
_number = partial(models.BigIntegerField, default=0)
_total = {"metric_id": _number, "num": _number, "created": models.DateField}
_MODELS: dict[str, dict[str, Any]] = {
    "metric": {"name": models.TextField, "slug": models.TextField},
    "metricset": {
        "name": models.TextField,
        **dict.fromkeys(("no_email", "send_daily", "send_weekly", "send_monthly"), _flag),
    },
    "metricitem": {"metric_id": _number, "num": _number, "created": models.DateTimeField},
    **{table.removeprefix(f"{APP}_"): _total for table in OF_PERIODS.values()},
    "gauge": {
        "name": models.TextField,
        "slug": models.TextField,
        "current_value": partial(models.DecimalField, max_digits=38, decimal_places=6),
        "updated": models.DateTimeField,
    },
}
