"""Propose rules for everything that the project lets expect to be worth counting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model

from ..contrib.auth import compile_auth
from ..contrib.model_rules import compile_models
from ..contrib.signal_rules import compile_signals
from ..contrib.url_rules import compile_urls
from ..core.plain_text import brief
from ..core.setting_rules import SettingError
from .event_signals import of_signals
from .good_news import with_good_news
from .logins import of_users
from .pages import of_urls
from .present import Present, present
from .proposals import AUTH, MODELS, SIGNALS, URLS, Proposal, of_setting, with_own_slugs
from .rows import CREATED, of_rows
from .samples import Sampler
from .tables import Table, tables

# Compiles a setting of rules, and returns the good ones and the mistakes.
_Compiler = Callable[[Any], tuple[Any, list[SettingError]]]
COMPILERS: Mapping[str, _Compiler] = {
    AUTH: compile_auth,
    MODELS: compile_models,
    SIGNALS: compile_signals,
    URLS: compile_urls,
}


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Proposals in a fixed order, what the settings have already, and notes about what could not be looked at."""

    proposals: list[Proposal]
    present: Present
    notes: list[str] = field(default_factory=list)


def suggest(replaced: Mapping[str, Any] | None = None) -> Suggestions:
    """Return what to count, besides what the settings count already.

    `replaced` holds the names of a module whose rules do not count as present, because it is to be written anew. It
    reads the database, for a bounded time.
    """
    there = present(replaced or {})
    sampler = Sampler()
    found = tables(sampler, there.keys(MODELS))
    users: type[Model] = get_user_model()
    rows, too_many = of_rows([table for table in found if table.model is not users])
    auth = of_users(_table_of(users, found), there)
    urls, notes = _of_urls()
    counted = [proposal.key.rpartition(".")[2] for proposal in rows if proposal.event == CREATED]
    proposals = [*auth, *rows, *of_signals(counted), *urls]
    good = [each for each in proposals if each.key not in there.keys(each.setting) and _is_valid(each)]
    if too_many:
        notes.append(f"Left out, because other tables have better reasons: {', '.join(too_many)}.")
    events = {event for each in of_setting(auth, AUTH) for event in compile_auth(each.value)[0].events}
    proposed = [with_good_news(each) for each in with_own_slugs(good, {*there.slugs, *events})]
    return Suggestions(proposed, there, [*notes, *sampler.problems])


def _table_of(users: type[Model], found: list[Table]) -> Table:
    return next((table for table in found if table.model is users), Table(users))


def _of_urls() -> tuple[list[Proposal], list[str]]:
    try:
        return of_urls(), []
    except Exception as error:  # whatever the project's URLconf raises
        return [], [f"The URLs could not be looked at: {brief(error)}"]


def _is_valid(proposal: Proposal) -> bool:
    """Return whether the system checks accept a rule: an attribute may hide a field, or a signal's module may fail."""
    return not COMPILERS[proposal.setting](proposal.as_setting())[1]
