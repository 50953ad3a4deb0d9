"""Choose the database to read from: a replica may lag behind, so a read that a write depends on avoids it."""

from typing import Any

from django.db import router


def primary(manager: Any) -> Any:
    """Return all rows of a manager, read from the database that they are written to."""
    return manager.using(router.db_for_write(manager.model))


def beside(instance: Any, manager: Any) -> Any:
    """Return all rows of a manager, read from the database that an instance was read from."""
    return manager.using(instance._state.db)
