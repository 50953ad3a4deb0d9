"""The module that holds proposed rules: its file, its name, and what it has given to the settings."""

import sys
from collections.abc import Mapping
from pathlib import Path
from runpy import run_path
from typing import Any

from django.core.management.base import CommandError

from ..core.plain_text import brief
from ..suggestions.rendering import module
from ..suggestions.suggest import Suggestions
from .files import replacing

DEFAULT = Path("app_metrics_rules.py")


def module_name(path: Path) -> str:
    """Return the dotted name under which a file can be imported. Raises CommandError if it cannot."""
    folders = [Path(each or ".").resolve() for each in sys.path]
    above = [folder for folder in folders if folder in path.resolve().parents]
    names = [".".join(path.resolve().relative_to(folder).with_suffix("").parts) for folder in above]
    # A package would need its own place on the path to be imported under a shorter name.
    name = min(names, key=len, default="")
    if path.suffix != ".py" or not name or not all(part.isidentifier() for part in name.split(".")):
        raise CommandError(
            f"{path} cannot be imported. Give the name of a module in a folder that Python imports from, such as "
            f"{DEFAULT} beside manage.py."
        )
    return name


def write_rules(path: Path, found: Suggestions) -> None:
    """Write a module with proposals. Raises CommandError."""
    try:
        with replacing(path) as stream:
            stream.write(module(found))
    except OSError as error:
        raise CommandError(f"{path} could not be written: {error}") from error


def rules_in(path: Path) -> Mapping[str, Any]:
    """Return the settings that a module holds; none if the file does not exist. Raises CommandError."""
    try:
        names = run_path(str(path)) if path.exists() else {}
    except Exception as error:
        raise CommandError(f"{path} could not be read: {brief(error)}") from error
    return {name: value for name, value in names.items() if name.startswith("APP_METRICS_")}
