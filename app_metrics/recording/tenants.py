"""Scopes with a part for each tenant, for tables in the schema of each tenant."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import ref

from ..core.batch import Batch, Entry
from ..transport.databases import current_database, in_schema, is_per_tenant, lacks_tables
from ..transport.dispatch import hand_over, is_on_event_loop
from .scope import Scope, register


class Part(Scope):
    """What one tenant recorded in a scope; written to that tenant's schema, whatever schema is current by then."""

    def __init__(self, schema: str | None, max_summaries: float) -> None:
        super().__init__(max_summaries)
        self._schema = schema

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        with in_schema(self._schema):
            super().send(use)

    def _take_along(self) -> None:
        if not lacks_tables():  # otherwise they would be lost
            super()._take_along()


class ScopeByTenant(Scope):
    """A scope with a part for each tenant.

    What is recorded belongs to the schema of the connection. On an event loop it belongs to the tenant of the request,
    because the connection of the loop's thread is not the request's. Once all parts together hold `max_summaries`, they
    are written.
    """

    def __init__(self, max_summaries: float = math.inf, request: Any = None) -> None:
        self._max_summaries = max_summaries
        self._request = None if request is None else ref(request)
        self._parts: dict[str | None, Scope] = {}
        self._latest: Scope | None = None
        # The number of summaries of each part when another one became the latest.
        self._sizes: dict[Scope, int] = {}
        self.is_closed = False
        register(self)

    def here(self) -> Scope:
        schema = self._schema()
        part = self._parts.get(schema)
        if part is None:
            part = self._parts.setdefault(schema, Part(schema, self._max_summaries))
            if self.is_closed:
                part.write_at_once()
        if part is not self._latest:
            former, self._latest = self._latest, part
            if former is not None and self._max_summaries < math.inf:
                self._make_room_after(former)
        return part

    def _make_room_after(self, part: Scope) -> None:
        self._sizes[part] = part.fold_entries()
        if sum(list(self._sizes.values())) >= self._max_summaries:
            self._sizes.clear()
            self.send()

    def _schema(self) -> str | None:
        if self._request is None or not is_on_event_loop():
            return current_database().schema
        return getattr(getattr(self._request(), "tenant", None), "schema_name", None)

    @property
    def entries(self) -> deque[Entry]:  # type: ignore[override]  # only read
        return self.here().entries

    @property
    def capacity(self) -> int:  # type: ignore[override]
        return self.here().capacity

    @property
    def is_empty(self) -> bool:
        return all(part.is_empty for part in list(self._parts.values()))

    def add(self, *entries: Entry) -> None:
        self.here().add(*entries)

    def make_room(self) -> None:
        self.here().make_room()

    def write_at_once(self) -> None:
        self.is_closed = True
        for part in list(self._parts.values()):
            part.write_at_once()

    def leave_to_parent(self) -> None:
        self.write_at_once()  # the parts are scopes, too, and leave what they have

    def send(self, use: Callable[[Batch], None] = hand_over) -> None:
        for part in list(self._parts.values()) or [self.here()]:
            part.send(use)


def new_scope(max_summaries: float = math.inf, request: Any = None) -> Scope:
    """Return a new scope, of a request if there is one."""
    return ScopeByTenant(max_summaries, request) if is_per_tenant() else Scope(max_summaries)


def ended_scope() -> Scope:
    """Return a scope that writes every entry at once, inside the caller's transaction."""
    scope = new_scope()
    scope.write_at_once()
    return scope
