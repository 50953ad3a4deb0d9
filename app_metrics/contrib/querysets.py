"""`CountedQuerySet`: let model rules count rows that Django creates and changes in bulk, without a signal."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.dispatch import Signal

Row = TypeVar("Row", bound=Model, covariant=True)

# Event of model rules → the signal for what happened in bulk. It is sent by the model, with the database `using`, and
# with `num`, the number of rows, and the `rows` themselves; each is None if it is unknown, and `why_unknown` says why.
IN_BULK = {"created": Signal(), "updated": Signal()}

CONFLICTS = "a bulk_create() that ignores or updates conflicts does not report how many rows it created"
UPDATED = (
    "the rule reads rows, but update() does not report which ones it changed; give the rule nothing but a slug, or "
    "change existing rows with bulk_update()"
)
MISSING = (
    "the rule reads rows, but bulk_update() changed fewer rows than it was given, and does not report which ones; give "
    "the rule nothing but a slug, or read the rows with select_for_update(), so that nobody deletes one meanwhile"
)


class CountedQuerySet(QuerySet[Row]):
    """A queryset whose `bulk_create()`, `bulk_update()` and `update()` count for the rules in APP_METRICS_MODELS.

    Make a manager of it, `objects = CountedQuerySet.as_manager()`, or put it first among the bases of a queryset.
    What Django does not report is dropped as "failed_rule": how many rows were created by a `bulk_create()` that
    ignores or updates conflicts, and, for rules that read rows, which ones `update()` changed, or `bulk_update()` if
    some are missing.
    """

    _is_counted = True

    def bulk_create(
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Any]:
        rows = super().bulk_create(objs, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields)
        if ignore_conflicts or update_conflicts:
            self._count("created", None if rows else 0, None, CONFLICTS)
        else:
            self._count("created", len(rows), rows)
        return rows

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        rows = tuple(objs)
        uncounted = self.all()  # it calls update() for each batch of rows
        uncounted._is_counted = False
        changed = super(CountedQuerySet, uncounted).bulk_update(rows, fields, batch_size)
        uncounted._count("updated", changed, rows if len(rows) == changed else None, MISSING)
        return changed

    def update(self, **kwargs: Any) -> int:
        changed = super().update(**kwargs)
        if self._is_counted:
            self._count("updated", changed, None, UPDATED)
        return changed

    def _count(self, event: str, num: int | None, rows: Sequence[Model] | None, why_unknown: str = "") -> None:
        if num != 0:
            IN_BULK[event].send(sender=self.model, num=num, rows=rows, why_unknown=why_unknown, using=self.db)

    def _clone(self) -> Any:
        clone = super()._clone()  # type: ignore[misc]
        clone._is_counted = self._is_counted
        return clone
