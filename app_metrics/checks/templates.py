"""Find the metrics that the project's templates show."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.template import engines
from django.template.backends.django import DjangoTemplates

# A tag of ours with a slug; one with a variable says nothing here.
TAG = re.compile(r"""\{%\s*metric_(?:total|sparkline)\s+(?:slug=)?(["'])([^"']*)\1""")

# Some projects name their whole folder in DIRS, with a database, uploads and environments.
SUFFIXES = (".html", ".txt", ".xml", ".svg")
MOST_BYTES = 1_000_000


def shown_slugs() -> Iterator[tuple[str, str]]:
    """Yield the name of a template and a slug in it."""
    for folder in _folders():
        for file in sorted(each for each in folder.rglob("*") if each.suffix in SUFFIXES):
            for found in TAG.finditer(_text(file)):
                yield str(file.relative_to(folder)), found[2]


def _text(file: Path) -> str:
    """Return a file; nothing if it is too large for a template, or cannot be read."""
    with suppress(OSError):
        if file.stat().st_size <= MOST_BYTES:
            return file.read_text(errors="replace")
    return ""


def _folders() -> list[Path]:
    backends = [each for each in engines.all() if isinstance(each, DjangoTemplates)]
    loaders = [loader for backend in backends for loader in backend.engine.template_loaders]
    found = [folder for loader in loaders if hasattr(loader, "get_dirs") for folder in loader.get_dirs()]
    return list(dict.fromkeys(map(Path, found)))
