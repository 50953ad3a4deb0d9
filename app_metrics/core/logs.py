"""Log without raising: recording must not fail because a project's log filter or handler does."""

import logging
import sys
from contextlib import suppress
from traceback import format_exception
from typing import Any

from .plain_text import has_address

_logger = logging.getLogger("app_metrics")


def log(level: int, message: str, *args: Any, exc_info: bool = False) -> None:
    """Log a message as `logging.log()` does, but never raise an Exception.

    A traceback that quotes an address, which may hold a password, is left out.
    """
    with suppress(Exception):
        exc_info = exc_info and not has_address("".join(format_exception(sys.exception())))
        _logger.log(level, message, *args, exc_info=exc_info, stacklevel=2)
