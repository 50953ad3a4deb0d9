"""The interface of a database vendor's dialect, and what all of them share."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import DataError

from ...core.batch import Batch, Key
from ...core.summary import (
    FIELDS,
    NAMES,
    NO_SKETCHES,
    SKETCHES,
    Summary,
    merged_sketch,
    to_item_sketches,
    to_sketches,
    to_values,
)
from ...models import Item, Total
from ..unreadable import merged_or_set_aside

KEY_COLUMNS = Key._fields
SUMMARY_COLUMNS = NAMES
SKETCH_COLUMNS = tuple(field.name for field in SKETCHES)
PLAIN_ITEM_COLUMNS = ("id", *KEY_COLUMNS, *SUMMARY_COLUMNS)
ITEM_COLUMNS = (*PLAIN_ITEM_COLUMNS, *SKETCH_COLUMNS)
TOTAL_KEY = ("metric_id", "period", "start", "hour", "labels")
PLAIN_TOTAL_COLUMNS = (*TOTAL_KEY, *SUMMARY_COLUMNS)
TOTAL_COLUMNS = (*PLAIN_TOTAL_COLUMNS, *SKETCH_COLUMNS)
# Bytes of a stored sketch at which the parts that were appended are merged. PostgreSQL compresses rows of 2,000 bytes,
# at each update, and InnoDB keeps such values on their row's page.
LONG = 1_500
# Totals whose sketches are written in one statement.
SKETCHES_AT_ONCE = 500
# Characters of labels and sketches in a statement. They take up to four bytes each, and a statement of MariaDB 16 MiB
# by default, which is its max_allowed_packet.
TEXT_AT_ONCE = 3 * 2**20

# The errors raised for data that cannot be stored, no matter how often that is tried.
BAD_DATA = (DataError, ValueError, TypeError, ArithmeticError)

Row = tuple[Any, ...]


class TotalKey(NamedTuple):
    """The unique key of a total; all writers write totals in the order of this key, so that they do not deadlock."""

    metric_id: int
    period: str
    start: date
    hour: int
    labels: str


class Claim(NamedTuple):
    """The items that the current transaction deleted from the log: their number, their data, and where they end.

    The rows have KEY_COLUMNS, SUMMARY_COLUMNS and SKETCH_COLUMNS as the database returned them, one row per item. A
    sketch is in Base64. If the database has already grouped the items, their sketches are separated by spaces, and the
    rows have two more columns: the earliest `last_at`, and the numbers of items without a histogram that are single
    numbers, separated by spaces. If two rows have the same key and `last_at`, the later row has the last value. The day
    and the numbers may be text. Only the dialect that created `bound` reads it, in its next claim; None means the
    beginning of the log.
    """

    size: int
    rows: Sequence[Row]
    bound: Any = None


class Dialect:
    """The statements of one vendor; `connection` is Django's."""

    # Error codes after which the same transaction may succeed: deadlocks, lock timeouts, serialization failures.
    transient: frozenset[Any] = frozenset()
    # Whether the database queues transactions that wait for a lock; if not, the first to try a free lock gets it.
    queues = True
    # Up to this many rows are inserted with a parameter for each value; more rows use `many_inserted`.
    few = 0
    # SQL that turns a sketch from Base64 into what its column holds.
    sketch = "{0}"

    item_table: str = Item._meta.db_table
    total_table: str = Total._meta.db_table

    def is_transient(self, error: Exception) -> bool:
        return self.error_code(error.__cause__) in self.transient

    def error_code(self, error: Any) -> Any:
        """Return the driver's code of an error."""
        raise NotImplementedError

    def unsupported(self, connection: Any) -> str | None:
        """Return the name and version of a server or library that is too old; None if it is supported."""
        return None

    def isolation_level(self, connection: Any) -> str | None:
        """Return the isolation level of a connection as the server names it; None if any will do."""
        return None

    def narrow_encoding(self, connection: Any) -> str | None:
        """Return the encoding of our tables if it lacks characters of Unicode; None if it has all."""
        return None

    def insert_items(self, connection: Any, rows: Sequence[Row]) -> None:
        """Insert rows of `item_rows` in one statement; a row whose id exists already is skipped."""
        rows, names = without_sketches(rows)
        if len(rows) <= self.few:
            sql = f"{self.insert_of(len(rows), self.item_table, names)} ON CONFLICT DO NOTHING"
            parameters = list(chain.from_iterable(rows))
        else:
            sql, parameters = self.many_inserted(rows, names)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def many_inserted(self, rows: Sequence[Row], names: Sequence[str]) -> tuple[str, list[Any]]:
        """Return the statement that inserts more than `few` rows of some columns, and its parameters."""
        raise NotImplementedError

    def claim(self, connection: Any, size: int, bound: Any = None, *, apart: bool = False) -> Claim:
        """Delete up to `size` items, oldest first; skip or wait for those that another transaction has claimed.

        With `apart`, there is a row for each item. With the bound of an earlier claim, take the oldest items after it
        first, and older ones only if these do not fill the claim. Items are ordered by id.
        """
        raise NotImplementedError

    def add_totals(self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]]) -> None:
        """Merge summaries, sorted by their keys, into the stored totals; create the missing ones.

        The bytes of sketches are appended to those that are stored, so that these need not be read. They are merged
        once they are long; until then, readings merge them.
        """
        has_sketches = any(summary[len(FIELDS) :] != NO_SKETCHES for _, summary in totals)
        # Without sketches, the statement does not name their columns, which an adoption has not created yet.
        long = self.upsert(connection, totals, TOTAL_COLUMNS if has_sketches else PLAIN_TOTAL_COLUMNS)
        # Those of an hour, a day and longer periods are often equal.
        merge = cache(merged_sketch)
        for part in in_statements(long, SKETCHES_AT_ONCE, ("id", *SKETCH_COLUMNS)):
            self.write_sketches(connection, [merged_or_set_aside(connection.alias, row, merge) for row in part])

    def upsert(
        self, connection: Any, totals: Sequence[tuple[TotalKey, Summary]], names: Sequence[str]
    ) -> Sequence[Row]:
        """Write some columns of totals; return rows of the primary keys of those with a sketch longer than LONG.

        The rows also have SKETCH_COLUMNS in Base64, None for those that are short.
        """
        raise NotImplementedError

    def write_sketches(self, connection: Any, rows: Sequence[Row]) -> None:
        """Write sketches, in rows of a total's primary key and SKETCH_COLUMNS in Base64; None leaves one as it is."""
        raise NotImplementedError

    def insert_of(self, size: int, table: str, names: Sequence[str]) -> str:
        """Return an INSERT of so many rows of some columns, with a placeholder for each value."""
        begin, row = _insert_parts(table, tuple(names), self.sketch)
        return begin + ", ".join([row] * size)


def assignments(by_rule: Mapping[str, str], names: Collection[str]) -> str:
    """Return what `merge` does as assignments in SQL to the columns among `names`, made of an expression for each rule.

    In an expression, `{0}` is the column.
    """
    fields = [field for field in (*FIELDS, *SKETCHES) if field.name in names]
    return ", ".join(f"{field.name} = {by_rule[field.rule].format(field.name)}" for field in fields)


def columns(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + name for name in names)


def in_statements(rows: Sequence[Row], most: int, names: Sequence[str]) -> Iterator[Sequence[Row]]:
    """Yield rows of some columns in parts for a statement each: up to `most`, and fewer if their texts are long."""
    if len(rows) > most or (len(rows) > 1 and _text_of(rows, names) > TEXT_AT_ONCE):
        middle = len(rows) // 2
        yield from in_statements(rows[:middle], most, names)
        yield from in_statements(rows[middle:], most, names)
    elif rows:
        yield rows


def _text_of(rows: Sequence[Row], names: Sequence[str]) -> int:
    """Return the number of characters of the columns that may be long."""
    places = [place for place, name in enumerate(names) if name in ("labels", *SKETCH_COLUMNS)]
    return sum(sum(map(len, filter(None, map(itemgetter(place), rows)))) for place in places)


def total_rows(totals: Sequence[tuple[TotalKey, Summary]], names: Sequence[str]) -> list[Row]:
    """Return totals as rows of some columns, exact decimals as text, which every database reads exactly."""
    # The totals of an hour, a day and longer periods often share a summary, which is written out only once.
    different = {id(summary): summary for _, summary in totals}
    values: dict[int, Row] = {place: tuple(to_values(summary)) for place, summary in different.items()}
    if names != PLAIN_TOTAL_COLUMNS:
        values = {place: (*fields, *to_sketches(different[place])) for place, fields in values.items()}
    return [(*key, *values[id(summary)]) for key, summary in totals]


def without_sketches(rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[str]]:
    """Return rows of ITEM_COLUMNS, without those of sketches if no row has one, and their columns."""
    size = len(PLAIN_ITEM_COLUMNS)
    if any(row[size:] != NO_SKETCHES for row in rows):
        return rows, ITEM_COLUMNS
    return [row[:size] for row in rows], PLAIN_ITEM_COLUMNS


@cache
def _insert_parts(table: str, names: Sequence[str], sketch: str) -> tuple[str, str]:
    """Return how an INSERT of some columns begins, and the placeholders of a row."""
    values = [sketch.format("%s") if name in SKETCH_COLUMNS else "%s" for name in names]
    return f"INSERT INTO {table} ({columns(names)}) VALUES ", f"({', '.join(values)})"


def item_rows(batch: Batch) -> list[Row]:
    """Return a batch as rows of ITEM_COLUMNS, all values text or int; the ids are derived from the batch's id."""
    return [
        # An id without hyphens fits MariaDB's UUID type, and the CHAR(32) that Django uses if there is none.
        (
            f"{number:032x}", slug, kind, labels, day.isoformat(), hour,
            *to_values(summary), *to_item_sketches(summary),
        )
        for number, ((slug, kind, labels, day, hour), summary) in enumerate(batch.summaries.items(), batch.id.int)
    ]  # fmt: skip
