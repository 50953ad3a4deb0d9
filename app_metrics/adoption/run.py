"""Adopt a database: plan, change the tables, write the history, and compare it with the old rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from django.db import transaction

from ..conf import max_label_sets, time_zone
from ..core.batch import Batch, Entry, Fold, Key
from ..core.labels import NO_LABELS
from ..core.summary import GAUGE, Summary
from ..models import Metric
from ..notifications import milestones
from ..setting_values import is_slug
from ..storage.dialects import dialect_for
from ..storage.dialects.base import TotalKey, item_rows
from ..storage.items import append
from . import schema
from .alone import alone, tables_locked
from .history import History, history_of
from .invariants import Checked, compare, stored
from .names import gauge_slugs, metric_slugs, set_names
from .old_tables import (
    PROGRESS,
    SET,
    CannotAdopt,
    OldGauge,
    OldMetric,
    OldRows,
    OldSet,
    kept_aside,
    tables_of,
    to_adopt,
)
from .progress import Progress
from .refusals import refuse
from .shape import equal_in, read_shape

CHUNK_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What the adoption gives new names; it follows from the old rows alone."""

    metrics: list[OldMetric]
    sets: list[OldSet]
    gauges: list[OldGauge]
    # New slugs and names, by primary key, and by place for gauges.
    slugs: dict[int, str]
    names: dict[int, str]
    gauge_slugs: dict[int, str]
    # Columns of a fork by table; they are left out.
    extra: dict[str, list[str]]
    # Rows of metrics that do not exist.
    strays: int
    # What is going to be stored for each metric.
    sums: list[Checked]

    @property
    def renamed_metrics(self) -> list[tuple[str, str]]:
        """The old and the new slug of each metric whose slug changes."""
        return [(each.slug, new) for each in self.metrics if (new := self.slugs[each.pk]) != each.slug]

    @property
    def renamed_gauges(self) -> list[tuple[str, str]]:
        return [
            (old.slug, new) for old, new in zip(self.gauges, self.gauge_slugs.values(), strict=True) if old.slug != new
        ]

    @property
    def aliases(self) -> dict[str, str]:
        """The new slugs of texts that are no slugs any more; of several rows with one text, the first metric's."""
        found: dict[str, str] = {}
        for old, new in (*self.renamed_metrics, *self.renamed_gauges):
            if not is_slug(old):
                found.setdefault(old, new)
        return found


OnMetric = Callable[[Checked], None]


def plan(connection: Any) -> Plan:
    """Return the plan. Raises CannotAdopt."""
    with alone(connection):
        refuse(connection)
        return _plan(connection)


def _plan(connection: Any) -> Plan:
    rows = OldRows(connection)
    metrics, sets, gauges = rows.metrics(), rows.sets(), rows.gauges()
    slugs = metric_slugs(metrics)
    return Plan(
        metrics,
        sets,
        gauges,
        slugs,
        set_names(sets, equal_in(connection, SET)),
        gauge_slugs(gauges, slugs.values()),
        _extra(connection),
        rows.strays(slugs),
        [_planned(rows, pk, slug) for pk, slug in slugs.items()],
    )


def _planned(rows: OldRows, metric: int, slug: str) -> Checked:
    """Do with a metric all that can fail, before anything changes."""
    history = history_of(rows, metric, slug)
    _folded(history.pending)
    return Checked.planned(slug, history)


def try_out(connection: Any, planned: Plan, on_metric: OnMetric) -> None:
    """Show what is going to be stored for each metric, and write nothing."""
    for checked in planned.sums:
        _show(checked, on_metric)


def adopt(connection: Any, planned: Plan, on_metric: OnMetric) -> None:
    """Adopt the database; a run that was killed before is continued. Raises CannotAdopt, and database errors."""
    if wrong := [checked for checked in planned.sums if not checked.holds]:
        _show(wrong[0], on_metric)
    with _in_one_transaction(connection), alone(connection):
        progress = Progress(connection)
        shape = schema.shape_of(connection, progress)
        schema.set_aside(connection)
        _refuse_changes(connection, planned)
        if not progress.get("history"):
            schema.rename(connection, planned.slugs, planned.names)
            schema.alter(connection, shape, progress)
            schema.create(connection, progress)
        with transaction.atomic(using=connection.alias):
            _write(connection, planned, on_metric, is_written=progress.get("history", False))
            progress.set("history", True)
        schema.record(connection)
        progress.end()


def drop(connection: Any) -> list[str]:
    """Drop the old rows, and return the names of their tables. Raises CannotAdopt before the adoption is finished."""
    if left := to_adopt(connection):
        raise CannotAdopt(f"The adoption is not finished: there is {left[0]}. Run metrics_adopt first.")
    if not (found := kept_aside(connection)):
        raise CannotAdopt("There is nothing to drop.")
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for table in found:
            cursor.execute(f"DROP TABLE {table}")
    return found


def _refuse_changes(connection: Any, planned: Plan) -> None:
    rows = OldRows(connection)
    if (rows.metrics(), rows.sets(), rows.gauges()) != (planned.metrics, planned.sets, planned.gauges):
        raise CannotAdopt("The old tables changed while metrics_adopt ran. Stop the site, and run it again.")


def _extra(connection: Any) -> dict[str, list[str]]:
    known = {"no_email"}
    found = read_shape(connection).extra.items() if PROGRESS not in tables_of(connection) else ()
    return {table: left for table, names in found if (left := [each for each in names if each not in known])}


@contextmanager
def _in_one_transaction(connection: Any) -> Iterator[None]:
    """Change tables and rows together where the database can."""
    if not connection.features.can_rollback_ddl:
        yield
        return
    # SQLite has to stop checking before the transaction begins; Django checks all foreign keys at its end.
    checks = connection.vendor == "sqlite" and connection.disable_constraint_checking()
    try:
        with tables_locked(connection):
            yield
    finally:
        if checks:
            connection.enable_constraint_checking()


def _write(connection: Any, planned: Plan, on_metric: OnMetric, *, is_written: bool) -> None:
    """Write the history of each metric, and compare it with the old rows. Raises CannotAdopt if they differ."""
    rows = OldRows(connection)
    for metric in planned.metrics:
        slug = planned.slugs[metric.pk]
        history = history_of(rows, metric.pk, slug)
        checked = Checked.planned(slug, history) if is_written else _write_metric(connection, metric.pk, slug, history)
        _show(checked, on_metric)
    if not is_written:
        _write_gauges(planned)
        milestones.remember()


def _write_metric(connection: Any, metric: int, slug: str, history: History) -> Checked:
    before = stored(connection, metric, slug)
    _write_totals(connection, metric, history)
    _append(history.pending)
    return compare(slug, history, before, stored(connection, metric, slug))


def _show(checked: Checked, on_metric: OnMetric) -> None:
    on_metric(checked)
    if not checked.holds:
        raise CannotAdopt(
            f"The numbers of {checked.slug} would change, so the history is not written. If the site is running, stop "
            "it, and run metrics_adopt again; otherwise please report this with the lines above."
        )


def _write_totals(connection: Any, metric: int, history: History) -> None:
    keyed = sorted(
        (TotalKey(metric, period, start, 0, NO_LABELS), summary) for (period, start), summary in history.totals.items()
    )
    chunks = iter(keyed)
    for chunk in iter(lambda: list(islice(chunks, CHUNK_SIZE)), []):
        dialect_for(connection).add_totals(connection, chunk)


def _write_gauges(planned: Plan) -> None:
    entries: list[Entry] = []
    for place, gauge in enumerate(planned.gauges):
        slug = planned.gauge_slugs[place]
        # It exists if the site recorded it after an earlier run was killed.
        Metric.objects.update_or_create(slug=slug, defaults={"name": gauge.name, "kind": GAUGE})
        entries.append((slug, GAUGE, NO_LABELS, gauge.value, gauge.updated.timestamp()))
    _append(entries)


def _append(entries: list[Entry]) -> None:
    """Append events to the item log, not to a journal beside the database, which knows no transaction."""
    batches = iter(_folded(entries).items())
    for part in iter(partial(_part, batches), {}):
        append(item_rows(Batch(part)))


def _folded(entries: list[Entry]) -> dict[Key, Summary]:
    fold = Fold(time_zone(), max_label_sets())
    for entry in entries:
        fold.add(entry)
    return fold.summaries


def _part(summaries: Iterator[Any]) -> dict[Any, Any]:
    # The id of a batch has room for the ids of 2**16 items.
    return dict(islice(summaries, CHUNK_SIZE))
