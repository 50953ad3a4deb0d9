"""What the settings of the project count already."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError

from ..conf import settings
from ..contrib.auth import compile_auth
from ..contrib.model_rules import compile_models
from ..contrib.signal_rules import compile_signals
from ..contrib.url_rules import compile_urls
from ..models import Metric
from .proposals import AUTH, MODELS, SIGNALS, URLS


@dataclass(frozen=True, slots=True)
class Present:
    """The settings of rules without those of a module that is to be replaced, and the slugs that are in use."""

    values: Mapping[str, Any]
    slugs: Collection[str]

    def keys(self, setting: str) -> list[str]:
        value = self.values[setting]
        return [*value] if isinstance(value, Mapping) else []


def present(replaced: Mapping[str, Any]) -> Present:
    """Return what the settings count, without the rules that the module with the names `replaced` has given to them."""
    values = {name: _without(getattr(settings, name), replaced.get(name)) for name in (AUTH, MODELS, SIGNALS, URLS)}
    known = {*_slugs(values)}
    return Present(values, known | (_recorded() - {*_slugs(replaced)}))


def _without(value: Any, replaced: Any) -> Any:
    if not isinstance(value, Mapping) or not isinstance(replaced, Mapping):
        return False if replaced and value == replaced else value
    return {key: rule for key, rule in value.items() if key not in replaced or replaced[key] != rule}


def _slugs(values: Mapping[str, Any]) -> list[str]:
    rules = [
        *(rule for _, _, found in compile_models(values.get(MODELS, {}))[0] for rule in found),
        *(rule for _, found in compile_signals(values.get(SIGNALS, {}))[0] for rule in found),
        *(rule for found in compile_urls(values.get(URLS, {}))[0].values() for rule in found),
    ]
    events = compile_auth(values[AUTH])[0].events if values.get(AUTH) else ()
    return [*events, *(slug for rule in rules for slug in rule.slugs)]


def _recorded() -> set[str]:
    """Return the slugs of the metrics that exist, some of which the project's code may record."""
    try:
        return {*Metric.objects.values_list("slug", flat=True)}
    except DatabaseError:  # not migrated yet
        return set()
