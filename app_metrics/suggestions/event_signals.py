"""Propose rules of signals that report what has happened."""

import sys
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.dispatch import Signal

from .proposals import SIGNALS, Proposal
from .tables import is_looked_at
from .words import snake, words

# The last part of the name of modules that declare signals; others may import them.
MODULE = "signals"
MOST = 20
# Packages whose signals others may import: APP_METRICS_AUTH has those of Django that are worth counting.
OTHERS = ("django.", "app_metrics.")
# First words of signals that are sent before something happens, or that ask receivers for something.
BEFORE = {"before", "build", "collect", "get", "pre", "register", "test", "will"}
# Last words of signals of events, besides participles such as "published".
EVENTS = {
    "addition", "checkout", "paid", "payment", "placement", "removal", "reset", "search", "sent", "signup", "vote",
}  # fmt: skip
# Signals of what APP_METRICS_AUTH and the rules of additions count.
OF_USERS = {"log", "logged", "login", "logout", "registered", "signed", "signup"}
ADDED = {"added", "created", "inserted", "placed", "saved", "submitted"}


def of_signals(models: Iterator[str] | list[str]) -> list[Proposal]:
    """Return the proposals for signals; `models` are the names of models whose additions are proposed."""
    counted = {snake(name) for name in models}
    found = [_proposal(*each) for each in _signals() if not _is_counted(each[1], counted)]
    return found[:MOST]


def _proposal(module: str, name: str, app: str) -> Proposal:
    reason = f"the name of {name} says that something has happened"
    slug = snake(name) if len(words(name)) > 1 else f"{app}_{snake(name)}"
    return Proposal(SIGNALS, f"{module}.{name}", slug, reason, app)


def _signals() -> Iterator[tuple[str, str, str]]:
    """Yield module, name and app of each signal in the loaded modules of apps, each signal once.

    Only loaded modules, and of those only the apps' own: importing another one might connect receivers, and so might
    asking one that imports lazily for its file.
    """
    seen = {id(found) for module in [*sys.modules] if module.startswith(OTHERS) for _, found in _names_in(module)}
    for module in sorted(sys.modules, key=lambda name: (name.rpartition(".")[2] != MODULE, name)):
        app = _app_of(module)
        for name, found in _names_in(module) if app and _may_declare(module) else ():
            # Subclasses are often hooks, which only receivers of a certain kind may connect to.
            if type(found) is Signal and id(found) not in seen and _is_event(name):
                seen.add(id(found))
                yield module, name, str(app)


def _names_in(module: str) -> list[tuple[str, object]]:
    return sorted(getattr(sys.modules[module], "__dict__", {}).items(), key=lambda each: each[0])


def _may_declare(module: str) -> bool:
    """Return whether a module is named so, or belongs to the project itself: packages have signals for themselves."""
    path = getattr(sys.modules[module], "__file__", None) or ""
    return module.rpartition(".")[2] == MODULE or not {"site-packages", "dist-packages"} & {*Path(path).parts}


def _app_of(module: str) -> str | None:
    configs = [each for each in apps.get_app_configs() if module.startswith(f"{each.name}.") and is_looked_at(each)]
    return snake(max(configs, key=lambda each: len(each.name)).label) if configs else None


def _is_event(name: str) -> bool:
    named = words(name)
    return bool(named) and named[0] not in BEFORE and (named[-1].endswith("ed") or named[-1] in EVENTS)


def _is_counted(name: str, models: set[str]) -> bool:
    named = words(name)
    row = "_".join(named[:-1])
    is_added = named[-1] in ADDED and any(model == row or model.endswith(f"_{row}") for model in models)
    return bool(OF_USERS & {*named}) or is_added
