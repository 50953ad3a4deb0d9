"""Propose which change of a metric is good news, where its name says so."""

from dataclasses import replace

from ..core.comparisons import DOWN
from .proposals import AUTH, Proposal
from .words import words

# Words in the slugs of what should happen less often; plurals with an "s" count as well.
BAD = {
    "abandoned", "abandonment", "aborted", "bounce", "bounced", "canceled", "cancellation", "cancelled", "chargeback",
    "complaint", "crash", "crashes", "declined", "dispute", "error", "exception", "failed", "failure", "refund",
    "refunded", "rejected", "rejection", "timeout", "unsubscribe", "unsubscribed", "unsubscription", "violation",
}  # fmt: skip


def with_good_news(proposal: Proposal) -> Proposal:
    """Return a proposal that says that less is better, if its slug does.

    A rule for statuses of errors does not need it.
    """
    more = proposal.more or {}
    named = {each for word in words(proposal.slug) for each in (word, word.removesuffix("s"))}
    if proposal.setting == AUTH or "status" in more or not BAD & named:
        return proposal
    return replace(proposal, more={**more, "better": DOWN}, reason=f"{proposal.reason}; fewer are better, by its name")
