"""New slugs and names for those that the predecessor allowed and this package does not."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from ..setting_values import is_slug
from .old_tables import OldGauge, OldMetric, OldSet

# The new texts must fit into the old columns, because the rows are renamed before the columns are widened.
OLD_SLUG_LENGTH, OLD_NAME_LENGTH = 60, 50
_NOT_IN_SLUGS = re.compile(r"[^-a-zA-Z0-9_]+")


def metric_slugs(metrics: Iterable[OldMetric]) -> dict[int, str]:
    """Return the slug of each metric by primary key; those that can stay, stay."""
    return _unique({each.pk: each.slug for each in metrics}, _slugs, is_good=is_slug)


def gauge_slugs(gauges: Iterable[OldGauge], taken: Iterable[str]) -> dict[int, str]:
    """Return the slug of each gauge by its place; the predecessor let a metric and a gauge share one."""
    old = dict(enumerate(each.slug for each in gauges))
    used = set(taken)
    apart = {key: f"{slug}-gauge" if slug in used else slug for key, slug in old.items()}
    new = _unique(apart, _slugs, is_good=is_slug, taken=used)
    return {key: new[key] for key in old}


def set_names(sets: Iterable[OldSet], same: Callable[[str], str]) -> dict[int, str]:
    """Return the name of each set by primary key: the second "Growth" becomes "Growth (2)".

    `same` returns equal keys for names that the database takes for equal.
    """
    return _unique({each.pk: each.name for each in sets}, _names, same=same)


def _unique(
    old: dict[int, str],
    candidates: Callable[[str], Iterator[str]],
    is_good: Callable[[str], bool] = bool,
    same: Callable[[str], str] = str,
    taken: Iterable[str] = (),
) -> dict[int, str]:
    used = {same(each) for each in taken}
    new: dict[int, str] = {}
    for key, text in old.items():
        if is_good(text) and same(text) not in used:
            used.add(same(text))
            new[key] = text
    # Unlike any other even without case, which the old columns of MariaDB and MySQL ignore.
    folded = {_folded(each) for each in (*new.values(), *taken)}
    for key in [each for each in old if each not in new]:
        new[key] = next(each for each in candidates(old[key]) if same(each) not in used and _folded(each) not in folded)
        used.add(same(new[key]))
        folded.add(_folded(new[key]))
    return new


def _slugs(text: str) -> Iterator[str]:
    base = _NOT_IN_SLUGS.sub("-", text).strip("-")[:OLD_SLUG_LENGTH] or "metric"
    yield from _numbered(base, "-{}", OLD_SLUG_LENGTH)


def _names(text: str) -> Iterator[str]:
    yield from _numbered(text or "Metrics", " ({})", OLD_NAME_LENGTH)


def _numbered(base: str, suffix: str, length: int) -> Iterator[str]:
    yield base
    number = 2
    while True:
        end = suffix.format(number)
        yield base[: length - len(end)] + end
        number += 1


def _folded(text: str) -> str:
    """Return a text so that names which MariaDB and MySQL take for equal are equal: without case and accents."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(each for each in letters if not unicodedata.combining(each)).casefold().rstrip()
