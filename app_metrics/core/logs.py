"""Log without raising: recording must not fail because a project's log filter or handler does."""

import logging
from contextlib import suppress
from typing import Any

_logger = logging.getLogger("app_metrics")


def log(level: int, message: str, *args: Any, exc_info: bool = False) -> None:
    """Log a message as `logging.log()` does, but never raise an Exception."""
    with suppress(Exception):
        _logger.log(level, message, *args, exc_info=exc_info, stacklevel=2)
