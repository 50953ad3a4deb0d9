"""Write proposals as Python: a block of settings, or a module that the settings import."""

import json
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..conf import settings
from ..contrib.url_rules import MIDDLEWARE
from .present import Present
from .proposals import AUTH, MODELS, SIGNALS, URLS, Proposal, of_setting
from .suggest import Suggestions

WIDTH = 119
HEAD = "Proposed by manage.py metrics_suggest. Delete what you do not need; each comment says why a rule is here."
ADD_MIDDLEWARE = f'MIDDLEWARE = ["{MIDDLEWARE}", *MIDDLEWARE]'


def settings_block(found: Suggestions) -> str:
    """Return lines to append to the settings; they keep the rules that are there."""
    first = [
        *_comment(HEAD, ""),
        *([ADD_MIDDLEWARE] if of_setting(found.proposals, URLS) and lacks_middleware() else []),
    ]
    return _text([*first, *_settings(found, {name for name in (MODELS, SIGNALS, URLS) if found.present.keys(name)})])


def lacks_middleware() -> bool:
    return MIDDLEWARE not in settings.MIDDLEWARE


def module(found: Suggestions) -> str:
    """Return a module with the proposals alone; `settings_lines` adds them to those that are there."""
    return _text(['"""' + HEAD + '"""', *_settings(found, set())])


def settings_lines(name: str, rules: Collection[str], there: Present) -> str:
    """Return the lines with which the settings import a module with these settings; `name` is its dotted name."""
    lines = [ADD_MIDDLEWARE] if URLS in rules and lacks_middleware() else []
    extended = [each for each in rules if there.keys(each)]
    if not extended:
        return "\n".join([*lines, f"from {name} import *  # noqa: F403"])
    lines.append(f"import {name} as proposed")
    for each in rules:
        theirs = f"proposed.{each}"
        lines.append(f"{each} = {{**{each}, **{theirs}}}" if each in extended else f"{each} = {theirs}")
    return "\n".join(lines)


def _names(proposals: Iterable[Proposal]) -> list[str]:
    return [name for name in (AUTH, MODELS, SIGNALS, URLS) if of_setting(proposals, name)]


def _settings(found: Suggestions, extended: set[str]) -> Iterator[str]:
    for name in _names(found.proposals):
        proposals = of_setting(found.proposals, name)
        yield ""
        if name == AUTH:
            yield from _one(proposals[0], f"{AUTH} = ", "", proposals[0].value)
            continue
        yield f"{name} = {{"
        if name in extended:
            yield f"    **{name},"
        yield from (_models if name == MODELS else _rules)(proposals, "    ")
        yield "}"


def _models(proposals: Sequence[Proposal], indent: str) -> Iterator[str]:
    for model, of_model in _grouped(proposals, lambda each: each.key):
        yield f"{indent}{_literal(model)}: {{"
        for event, of_event in _grouped(of_model, lambda each: each.event):
            yield from _entry(event, of_event, f"{indent}    ")
        yield f"{indent}}},"


def _rules(proposals: Sequence[Proposal], indent: str) -> Iterator[str]:
    for key, of_key in _grouped(proposals, lambda each: each.key):
        yield from _entry(key, of_key, indent)


def _entry(key: str, proposals: Sequence[Proposal], indent: str) -> Iterator[str]:
    if len(proposals) == 1:
        yield from _one(proposals[0], f"{_literal(key)}: ", indent, proposals[0].rule, ",")
        return
    yield f"{indent}{_literal(key)}: ["
    for proposal in proposals:
        yield from _one(proposal, "", f"{indent}    ", proposal.rule, ",")
    yield f"{indent}],"


def _one(proposal: Proposal, begin: str, indent: str, value: Any, end: str = "") -> Iterator[str]:
    yield from _comment(proposal.reason, indent)
    line = f"{indent}{begin}{_literal(value)}{end}"
    if len(line) <= WIDTH or not isinstance(value, Mapping):
        yield line
        return
    yield f"{indent}{begin}{{"
    yield from (f"{indent}    {_literal(key)}: {_literal(part)}," for key, part in value.items())
    yield f"{indent}}}{end}"


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _literal(value: Any) -> str:
    """Return a value as Python with double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(key)}: {_literal(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


def _grouped(proposals: Sequence[Proposal], key: Callable[[Proposal], str]) -> list[tuple[str, list[Proposal]]]:
    """Return the proposals by key, in the order of its first one."""
    groups: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        groups.setdefault(key(proposal), []).append(proposal)
    return [*groups.items()]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
