"""Who gets the mail about a metric set, and how they stop it."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.core import signing

from ..core.links import absolute_url
from ..core.validation import MAX_ADDRESS_LENGTH
from ..models import MetricSet, Unsubscription
from ..models.primary import primary
from ..models.reports import addresses_in

SALT = "app_metrics.unsubscribe"
UNSUBSCRIBE = "app_metrics:unsubscribe"
# The token of the link in previews, which nobody is a recipient of.
SAMPLE = "sample"
DASHBOARD = "admin:app_metrics_dashboard_changelist"


class Recipient(NamedTuple):
    """`identity` stays the same when a user's address changes: "user:" and the primary key, or an e-mail address."""

    identity: str
    address: str


class BadToken(Exception):
    """The token of a link to unsubscribe is damaged or forged, or its metric set does not exist any more."""


def recipients_of(metric_set: MetricSet) -> list[Recipient]:
    """Return the recipients of a set's reports: active users with an address, then e-mail addresses; each address once.

    Recipients who unsubscribed are left out.
    """
    # Compare both: a user may have a new address since, and an address may have a new identity.
    stopped = list(primary(metric_set.unsubscriptions).values_list("recipient", "address"))
    identities, addresses = {identity for identity, _ in stopped}, {address.casefold() for _, address in stopped}
    found: dict[str, Recipient] = {}
    for recipient in (*_users(metric_set), *_addresses(metric_set)):
        key = recipient.address.casefold()
        # An address that was not validated may be too long to store; the error would stop the mails to all others.
        fits = max(map(len, recipient)) <= MAX_ADDRESS_LENGTH
        if fits and key not in addresses and recipient.identity not in identities:
            found.setdefault(key, recipient)
    return list(found.values())


def unsubscribe(token: str) -> None:
    """Unsubscribe a token's recipient from its metric set; a second call changes nothing. Raises BadToken."""
    metric_set, identity = read_token(token)
    addresses = {each.identity: each.address for each in (*_users(metric_set), *_addresses(metric_set))}
    Unsubscription.objects.get_or_create(
        metric_set=metric_set, recipient=identity, defaults={"address": addresses.get(identity, identity)}
    )


def read_token(token: str) -> tuple[MetricSet, str]:
    """Return the metric set and the recipient's identity in a token. Raises BadToken."""
    try:
        pk, identity = signing.loads(token, salt=SALT)
        return primary(MetricSet.objects).get(pk=pk), identity
    except (signing.BadSignature, MetricSet.DoesNotExist) as error:
        raise BadToken from error


def address_of(user: Any) -> str:
    """Return a user's e-mail address from the user model's EMAIL_FIELD, or an empty text."""
    return str(getattr(user, getattr(user, "EMAIL_FIELD", "email"), None) or "").strip()


def stop_url(metric_set: MetricSet, recipient: Recipient) -> str | None:
    """Return the link that unsubscribes a recipient; None without APP_METRICS_BASE_URL or the app's URLs."""
    return absolute_url(UNSUBSCRIBE, signing.dumps([metric_set.pk, recipient.identity], salt=SALT))


def sample_url() -> str | None:
    """Return a link that looks like one of `stop_url` and stops nothing; None where that returns None."""
    return absolute_url(UNSUBSCRIBE, SAMPLE)


def dashboard_url() -> str | None:
    """Return the address of the dashboard in the admin; None without APP_METRICS_BASE_URL or the admin."""
    return absolute_url(DASHBOARD)


def _users(metric_set: MetricSet) -> Iterator[Recipient]:
    return _reachable(primary(metric_set.email_recipients).order_by("pk"))


def _reachable(users: Iterable[Any]) -> Iterator[Recipient]:
    for user in users:
        address = address_of(user)
        if address and getattr(user, "is_active", True):
            yield Recipient(f"user:{user.pk}", address)


def _addresses(metric_set: MetricSet) -> Iterator[Recipient]:
    for address in addresses_in(metric_set.email_addresses):
        yield Recipient(address.casefold(), address)
