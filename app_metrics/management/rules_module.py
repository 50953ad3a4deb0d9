"""The module that holds proposed rules: its file, its name, and what it has given to the settings."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

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


def rules_in(path: Path) -> Mapping[str, Any]:
    """Return the settings that a module holds; none if the file does not exist. Raises what running it raises."""
    if not path.exists():
        return {}
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return {name: value for name, value in vars(module).items() if name.startswith("APP_METRICS_")}
