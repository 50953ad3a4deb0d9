"""Source tables: models whose rows show what should have been counted, because a rule has the key `backfill`."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import router
from django.db.models import Min, Model, Q

from ..conf import time_zone, years
from ..contrib.model_rules import BACKFILL, CompiledRules, compile_models, configured
from ..contrib.row_dates import CREATED, RowDate
from ..contrib.rules import Rule
from ..core.batch import Fold
from ..core.dropped import warn_once
from ..core.hashing import hash_of
from ..core.labels import NO_LABELS
from ..core.numbers import Number
from ..core.periods import bucket
from ..core.plain_text import brief
from ..core.summary import UNIQUE, Summary
from ..core.validation import check_labels, check_time, known_labels
from .stored_totals import Hour, settled

# Rows read at once from the database.
FETCHED = 2000
# Limits of a chunk, which is read and compared at once. A day is never split, even if it has more rows.
CHUNK_ROWS = 20_000
CHUNK_DAYS = 366

# The summaries of rows: label set and day → hour → summary.
History = dict[tuple[str, date], dict[int, Summary]]
# Maps a label set to itself or the overflow series, as `app_metrics.core.labels.cap_labels` does.
Capped = Callable[[str], str]


class UnusableSource(ValueError):
    """The metric cannot be filled or verified from its source."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A model, and the rule that defines the date of its rows and what each row counts."""

    model: type[Model]
    rule: Rule

    @property
    def rows(self) -> Any:
        """The rows of the model, with those of its multi-table children, which the rule counts live, too."""
        return self.model._base_manager.using(router.db_for_write(self.model))

    def first_day(self) -> date | None:
        first = self._between(*_recorded_days()).aggregate(first=Min(self._name))["first"]
        return None if first is None else self._bucket(first)[0]

    def count(self, first: date, last: date) -> int:
        """Return about how many rows there are from `first` up to, but without, `last`."""
        count: int = self._between(first, last).count()
        return count

    def undated(self) -> int:
        """Return how many rows have no date, or one at which nothing can be recorded."""
        first, last = self._date.bounds(*_recorded_days())
        name = self._name
        count: int = self.rows.filter(
            Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__lt": first}) | Q(**{f"{name}__gte": last})
        ).count()
        return count

    def day_after(self, first: date, rows: int) -> date | None:
        """Skip `rows` rows from `first` on, and return the day of the next one; None if there is none."""
        dates = self._between(first, _recorded_days()[1]).order_by(self._name).values_list(self._name, flat=True)
        found = list(dates[rows : rows + 1])
        return self._bucket(found[0])[0] if found else None

    def entries(self, first: date, last: date) -> Iterator[tuple[date, int, str, Number, float] | None]:
        """Yield day, hour, label set, number and Unix time of each row from `first` up to, but without, `last`.

        The number of a unique count is a hash, as in an entry. Yield None for a row whose event live counting would
        have dropped. Rows that do not count are left out.
        """
        for value, row in self._values(self._between(first, last)):
            moment = self._date.moment(value)
            if moment is None:
                continue
            at = check_time(moment)
            day, hour = bucket(int(at // 1), time_zone())
            if not first <= day < last:
                continue
            try:
                read = self._read(row)
            except Exception as error:
                warn_once(f"A row was skipped: {self.rule.origin}: {brief(error)}", source=self.rule.origin)
                yield None
                continue
            if read is not None:
                yield day, hour, *read, at

    def _read(self, row: Model | None) -> tuple[str, Number] | None:
        """Return a row's label set and number; None if the rule does not apply. Raises the errors of its getters."""
        rule = self.rule
        if row is None:
            return NO_LABELS, 1
        if rule.when is not None and not rule.when(row):
            return None
        number = self._number(row)
        if number is None:
            return None
        return _encoded(rule.read_labels(row)) if rule.labels else NO_LABELS, number

    def _number(self, row: Model) -> Number | None:
        if self.rule.num is None:
            return 1
        if self.rule.kind != UNIQUE:
            return self.rule.read_num(row)
        value = self.rule.num(row)
        return None if value is None else hash_of(value)

    def _values(self, rows: Any) -> Iterator[tuple[Any, Model | None]]:
        """Yield the date of each row, and the row itself if the rule reads more of it, else None."""
        if not self.rule.reads:
            dates = rows.values_list(self._date.field.attname, flat=True)
            return ((value, None) for value in dates.iterator(FETCHED))
        rows = rows.select_related(*self.rule.relations) if self.rule.relations else rows
        return ((getattr(row, self._date.field.attname), row) for row in rows.iterator(FETCHED))

    def _between(self, first: date, last: date) -> Any:
        lower, upper = self._date.bounds(first, last)
        return self.rows.filter(**{f"{self._name}__gte": lower, f"{self._name}__lt": upper})

    def _bucket(self, value: Any) -> tuple[date, int]:
        return bucket(int(check_time(self._date.moment(value)) // 1), time_zone())

    @property
    def _date(self) -> RowDate:
        date_of: RowDate = self.rule.options[BACKFILL]
        return date_of

    @property
    def _name(self) -> str:
        name: str = self._date.field.name
        return name


@dataclass(slots=True)
class MetricSource:
    """The source of a metric: the tables of all rules with its slug."""

    slug: str
    tables: Sequence[SourceTable]
    rows: int = 0
    skipped: int = 0

    @property
    def kind(self) -> str:
        return self.tables[0].rule.kind

    @property
    def by_day(self) -> bool:
        """Whether some rows have a date without a time: such rows count in the first hour of their day."""
        return any(not table.rule.options[BACKFILL].has_time for table in self.tables)

    def settled(self) -> Hour:
        """Return the hour before which the events of all rows have arrived."""
        return settled(by_day=self.by_day)

    def first_day(self) -> date | None:
        """Return the day of the first row; None if there is none."""
        return min((day for table in self.tables if (day := table.first_day())), default=None)

    def count(self, first: date, last: date) -> int:
        return sum(table.count(first, last) for table in self.tables)

    def undated(self) -> int:
        return sum(table.undated() for table in self.tables)

    def chunk_end(self, first: date, last: date) -> date:
        """Return the day after the chunk that begins on `first`, at most `last`."""
        days = [day for table in self.tables if (day := table.day_after(first, CHUNK_ROWS))]
        end = max(first + timedelta(days=1), min(days, default=last))
        return min(end, first + timedelta(days=CHUNK_DAYS), last)

    def fold(self, first: date, last: date, capped: Capped) -> History:
        """Return the summaries of the rows from `first` up to, but without, `last`.

        Set `rows` to the number of rows that count, and `skipped` to how many of them live counting would have dropped.
        """
        fold = Fold(time_zone(), sys.maxsize)  # `capped` limits the label sets
        self.rows = self.skipped = 0
        for entry in (entry for table in self.tables for entry in table.entries(first, last)):
            self.rows += 1
            if entry is None:
                self.skipped += 1
                continue
            _, _, labels, number, at = entry
            fold.add((self.slug, self.kind, capped(labels), number, at))
        fold.settle()
        history: History = {}
        for key, summary in fold.summaries.items():
            history.setdefault((key.labels, key.day), {})[key.hour] = summary
        return history


def _encoded(labels: Mapping[str, str]) -> str:
    return known_labels(tuple(labels.items())) or check_labels(labels)  # most rows have the label set of another one


def _recorded_days() -> tuple[date, date]:
    """Return the days that rows may be from, with a margin of one day for time zones; the last one is not included."""
    first, last = years()
    return date(first, 1, 2), date(last, 12, 31)


def configured_slugs() -> list[str]:
    """Return the slugs of the rules with the key `backfill`, sorted."""
    return sorted({rule.slug for _, _, rules in configured() for rule in rules if BACKFILL in rule.options})


def configured_source(slug: str) -> MetricSource:
    """Return the source that a metric's rules define.

    Raises UnusableSource if no rule, or not every rule, has the key `backfill`.
    """
    counting = [(model, rule) for model, _, rules in configured() for rule in rules if rule.slug == slug]
    tables = [SourceTable(model, rule) for model, rule in counting if BACKFILL in rule.options]
    if not tables:
        known = ", ".join(configured_slugs()) or "none"
        raise UnusableSource(
            f"No rule with the key {BACKFILL!r} counts {slug!r}. Add one, or give --model and --field. Metrics with "
            f"such rules: {known}."
        )
    _refuse_undated(slug)
    if len(_kinds(tables)) > 1:
        raise UnusableSource(
            f"Rules record {slug!r} as the kinds {' and '.join(_kinds(tables))}. Give one of them another slug."
        )
    return MetricSource(slug, tables)


def _kinds(tables: Sequence[SourceTable]) -> list[str]:
    return sorted({table.rule.kind for table in tables})


def sources_of(compiled: CompiledRules) -> list[MetricSource]:
    """Return the sources of all metrics that these rules count, and that rows can fill, sorted by slug."""
    counting: dict[str, list[SourceTable]] = {}
    for model, _, rules in compiled:
        for rule in rules:
            counting.setdefault(rule.slug, []).append(SourceTable(model, rule))
    return [
        MetricSource(slug, tables)
        for slug, tables in sorted(counting.items())
        if all(BACKFILL in table.rule.options for table in tables) and len(_kinds(tables)) == 1
    ]


def given_source(slug: str, model: str, field: str, num: Any = None, unique: str | None = None) -> MetricSource:
    """Return the source that a rule for this model, date field, and number or unique count would define.

    Raises UnusableSource.
    """
    more = {key: value for key, value in (("num", num), ("unique", unique)) if value is not None}
    rule = {"slug": slug, BACKFILL: field, **more}
    compiled, errors = compile_models({model: {CREATED: rule}}, "--model")
    if errors:
        raise UnusableSource(f"{errors[0]} {errors[0].hint}")
    _refuse_undated(slug)
    tables = [SourceTable(found, each) for found, _, rules in compiled for each in rules]
    return MetricSource(slug, tables)


def _refuse_undated(slug: str) -> None:
    """Raise UnusableSource if a rule of the metric has no key `backfill`: rows do not show when it counted."""
    for _, _, rules in configured():
        for rule in rules:
            if rule.slug == slug and BACKFILL not in rule.options:
                raise UnusableSource(
                    f"{rule.origin} also counts {slug!r}, but its rule lacks the key {BACKFILL!r}. Add the key, or use "
                    "another slug."
                )
