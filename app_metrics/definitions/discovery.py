"""Find all definitions, also those in modules that nothing has imported yet."""

import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from django.apps import AppConfig, apps
from django.utils.module_loading import module_has_submodule

from .definition import Definition, existing

MODULE = "metrics"
# As a whole word: the names of other packages and metrics contain it.
OURS = re.compile(rb"\bapp_metrics\b")


def discover() -> list[Definition]:
    """Import the module `metrics` of each installed app, and return all definitions by slug.

    Many projects have such a module for other purposes, so one that does not name this package is left alone.
    """
    for app in apps.get_app_configs():
        if module_has_submodule(app.module, MODULE) and _names_us(app):
            import_module(f"{app.name}.{MODULE}")
    return existing()


def _names_us(app: AppConfig) -> bool:
    files = list(_files(f"{app.name}.{MODULE}"))
    are_sources = all(file.suffix == ".py" for file in files)
    return not are_sources or any(OURS.search(_source(file)) for file in files)


def _source(file: Path) -> bytes:
    """Return a file; nothing if it cannot be read, as the link with which an editor locks a file."""
    with suppress(OSError):
        return file.read_bytes()
    return b""


def _files(module: str) -> Iterator[Path]:
    spec = find_spec(module)
    if spec and spec.submodule_search_locations is not None:
        for folder in spec.submodule_search_locations:
            yield from Path(folder).rglob("*.py")
    elif spec and spec.origin:
        yield Path(spec.origin)
