"""What every vendor's dialect answers."""

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from django.db import DataError

from ...core.batch import Batch
from ...core.numbers import digits
from ...core.summary import Summary
from ...models import Item, Total

KEY_COLUMNS = ("slug", "kind", "labels", "day", "hour")
SUMMARY_COLUMNS = Summary._fields
ITEM_COLUMNS = ("id", *KEY_COLUMNS, *SUMMARY_COLUMNS)
TOTAL_KEY = ("metric_id", "period", "start", "hour", "labels")
TOTAL_COLUMNS = (*TOTAL_KEY, *SUMMARY_COLUMNS)

# What storing fails with where the data are at fault, however often it is tried.
BAD_DATA = (DataError, ValueError, TypeError, ArithmeticError)

Row = tuple[Any, ...]


class TotalKey(NamedTuple):
    """The unique key of a total; totals are written in its natural order, so that writers never cross."""

    metric_id: int
    period: str
    start: date
    hour: int
    labels: str


class Claim(NamedTuple):
    """How many items the current transaction took out of the log, what they hold, and where the next may begin.

    The rows are KEY_COLUMNS and SUMMARY_COLUMNS as the database gave them, one per item, or already grouped and then
    with a further column, the earliest `last_at`. Of rows with the same key and `last_at` the later one holds the last
    value. The day and the numbers may be text. The bound is for the dialect that made it; None is the beginning.
    """

    size: int
    rows: Sequence[Row]
    bound: Any = None


class Dialect:
    """The statements of one vendor; `connection` is Django's."""

    # Error codes after which the same transaction may succeed: deadlocks, lock timeouts, serialization failures.
    transient: frozenset[Any] = frozenset()
    # Whether those who wait for a lock get it in turn; else it is whoever happens to ask when it is free.
    queues = True
    # Up to so many rows travel with a parameter for each value; more, as `many_inserted` says.
    few = 0

    item_table: str = Item._meta.db_table
    total_table: str = Total._meta.db_table

    def is_transient(self, error: Exception) -> bool:
        return self.error_code(error.__cause__) in self.transient

    def error_code(self, error: Any) -> Any:
        """Return the driver's code of an error."""
        raise NotImplementedError

    def insert_items(self, connection: Any, rows: Sequence[Row]) -> None:
        """Write what `item_rows` returned in one statement; a row whose id is there already is left alone."""
        few = len(rows) <= self.few
        sql, parameters = few_inserted(rows, self.item_table) if few else self.many_inserted(rows)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def many_inserted(self, rows: Sequence[Row]) -> tuple[str, list[Any]]:
        """Return that statement for more than a few rows, and its parameters."""
        raise NotImplementedError

    def claim(self, connection: Any, size: int, bound: Any = None) -> Claim:
        """Delete up to `size` items, oldest first; what another transaction has taken is skipped or waited for.

        With the bound of a claim before, the oldest after that one, and older ones where these are not enough; all of
        them are in the order of their ids.
        """
        raise NotImplementedError

    def add_totals(self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]]) -> None:
        """Merge summaries, sorted by their keys, into the stored totals; create those that are missing."""
        raise NotImplementedError


def columns(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + name for name in names)


def flat(key: Sequence[Any], summary: Summary) -> Row:
    """Return a key and its summary as one row, numbers as text that every database reads exactly."""
    return (*key, summary.count, *map(digits, summary[1:5]), summary.last_at)


def few_inserted(rows: Sequence[Row], table: str) -> tuple[str, list[Any]]:
    """Return an INSERT of rows of ITEM_COLUMNS with a parameter for each value."""
    return _insert_of(len(rows), table), list(chain.from_iterable(rows))


@cache
def _insert_of(rows: int, table: str) -> str:
    placeholders = f"({', '.join(['%s'] * len(ITEM_COLUMNS))})"
    values = ", ".join([placeholders] * rows)
    return f"INSERT INTO {table} ({columns(ITEM_COLUMNS)}) VALUES {values} ON CONFLICT DO NOTHING"


def item_rows(batch: Batch) -> list[Row]:
    """Return a batch as rows of ITEM_COLUMNS, all of them text or int; their ids follow from the batch's."""
    return [
        # An id without hyphens fits MariaDB's UUID type, and the CHAR(32) that Django uses where there is none.
        (f"{number:032x}", slug, kind, labels, day.isoformat(), hour,
         count, digits(total), digits(minimum), digits(maximum), digits(last), last_at)
        for number, ((slug, kind, labels, day, hour), (count, total, minimum, maximum, last, last_at)) in enumerate(
            batch.summaries.items(), batch.id.int
        )
    ]  # fmt: skip
