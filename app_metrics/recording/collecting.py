"""`collect()`, the scope of a script, a command or a job."""

from contextlib import ContextDecorator
from contextvars import Token
from functools import wraps
from types import TracebackType
from typing import Any, Self

from asgiref.sync import iscoroutinefunction

from .scope import Scope, enter, leave
from .tenants import new_scope

# Summaries at which a scope writes a batch before its end, because a script may run for days.
MAX_SUMMARIES = 10_000


class collect(ContextDecorator):  # noqa: N801 - reads as a verb where it is used
    """Gather what a script, a command or a job records, and write it as one batch at the end.

    Use it as `with collect():`, as `async with collect():` or as a decorator. The batch is written even if the block
    raises. A nested scope writes its own batch. An instance serves one thread or task at a time.
    """

    def __init__(self) -> None:
        self._scopes: list[tuple[Scope, Token[Scope | None]]] = []

    def __call__(self, function: Any) -> Any:
        if not iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def scoped(*args: Any, **kwargs: Any) -> Any:
            async with type(self)():
                return await function(*args, **kwargs)

        return scoped

    def _recreate_cm(self) -> Self:
        return type(self)()

    def __enter__(self) -> Scope:
        scope = new_scope(MAX_SUMMARIES)
        self._scopes.append((scope, enter(scope)))
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave().close()

    async def __aenter__(self) -> Scope:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave().aclose()

    def _leave(self) -> Scope:
        scope, token = self._scopes.pop()
        leave(token)
        return scope
