"""A look at the data: the latest rows of each table, in bounded time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.db import DatabaseError, connections, router
from django.db.models import Model

from ..core.plain_text import brief
from .time_limits import time_limit

# Rows of a table that are looked at: the latest ones by primary key, which every database finds by its index.
ROWS = 1000
# Seconds that the query of one table, and those of all, may take.
SECONDS, ALL_SECONDS = 1.0, 20.0


@dataclass(slots=True)
class Sampler:
    """Read samples. `problems` says which tables could not be looked at, and why."""

    ends: float = field(default_factory=lambda: monotonic() + ALL_SECONDS)
    problems: list[str] = field(default_factory=list)

    def rows(self, model: type[Model], names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return values of the latest rows; none if the table is empty, or cannot be looked at."""
        started = monotonic()
        seconds = min(SECONDS, self.ends - started)
        if seconds <= 0:
            self._note(model, f"not looked at, because the queries of the other tables took {ALL_SECONDS:.0f} s")
            return []
        try:
            return _read(model, names, seconds)
        except LookupError:
            self._note(model, "not looked at, because the time of a query cannot be limited on its database")
        except Exception as error:  # a table that is missing, or a field of a project that cannot read a value
            is_late = isinstance(error, DatabaseError) and monotonic() - started >= seconds
            why = f"the query took more than {seconds:.1f} s" if is_late else brief(error)
            self._note(model, f"could not be looked at: {why}")
        return []

    def _note(self, model: type[Model], why: str) -> None:
        self.problems.append(f"{model._meta.label}: {why}")


def _read(model: type[Model], names: Sequence[str], seconds: float) -> list[tuple[Any, ...]]:
    alias = router.db_for_read(model)
    rows = model._base_manager.using(alias).order_by("-pk").values_list(*names)[:ROWS]
    with time_limit(connections[alias], seconds):
        return list(rows)
