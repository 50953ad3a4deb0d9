"""Proposals: a rule, where it belongs, and why it is proposed."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from ..core.validation import MAX_SLUG_LENGTH

AUTH, MODELS, SIGNALS, URLS = "APP_METRICS_AUTH", "APP_METRICS_MODELS", "APP_METRICS_SIGNALS", "APP_METRICS_URLS"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule, and why it is proposed.

    `key` is its key in the setting, and `event` the event of a model. `app` becomes the beginning of the slug if other
    rules want the same slug. `more` holds the keys of the rule besides `slug`. `value` is the whole setting if that is
    no mapping of rules.
    """

    setting: str
    key: str
    slug: str
    reason: str
    app: str
    event: str = ""
    more: Mapping[str, Any] | None = None
    value: Any = None

    @property
    def rule(self) -> Any:
        """The rule as it is written: a slug, or a mapping."""
        return {"slug": self.slug, **self.more} if self.more else self.slug

    @property
    def has_past(self) -> bool:
        """Whether the rule can fill in the past."""
        return self.setting == AUTH or "backfill" in (self.more or {})

    def as_setting(self) -> Any:
        """Return the setting with this rule alone."""
        if self.value is not None:
            return self.value
        return {self.key: {self.event: self.rule} if self.event else self.rule}


def with_own_slugs(proposals: Sequence[Proposal], taken: Collection[str]) -> list[Proposal]:
    """Return the proposals with different slugs, none of which is taken.

    If several proposals want a slug, all of them begin with their app, so that none depends on the order.
    """
    wanted = Counter(proposal.slug for proposal in proposals)
    used = {*taken}
    return [_with_own_slug(proposal, wanted[proposal.slug] > 1, used) for proposal in proposals]


def _with_own_slug(proposal: Proposal, is_shared: bool, used: set[str]) -> Proposal:
    slug = next(each for each in _slugs(proposal, is_shared) if each not in used)
    used.add(slug)
    return replace(proposal, slug=slug)


def _slugs(proposal: Proposal, is_shared: bool) -> Iterator[str]:
    if not is_shared:
        yield proposal.slug[:MAX_SLUG_LENGTH]
    longer = f"{proposal.app}_{proposal.slug}"
    yield longer[:MAX_SLUG_LENGTH]
    for number in count(2):
        yield f"{longer[: MAX_SLUG_LENGTH - 7]}-{number}"


def of_setting(proposals: Iterable[Proposal], setting: str) -> list[Proposal]:
    return [proposal for proposal in proposals if proposal.setting == setting]
