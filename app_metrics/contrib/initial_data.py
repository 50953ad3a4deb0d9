"""Rows that migrations, receivers of `post_migrate` and fixtures make: they are no events."""

import sys
from types import FrameType

from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.core.serializers.base import DeserializedObject
from django.db.migrations.executor import MigrationExecutor

_FUNCTIONS = (emit_pre_migrate_signal, MigrationExecutor.migrate, emit_post_migrate_signal, DeserializedObject.save)
_MAKERS = {function.__code__ for function in _FUNCTIONS}


def makes_initial_data() -> bool:
    """Return whether the caller runs within a migration, its signals, or the loading of a fixture.

    The stack shows this, and signals do not: a migration that fails sends no `post_migrate`, and nothing is sent after
    the last receiver of it.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code not in _MAKERS:
        frame = frame.f_back
    return frame is not None
