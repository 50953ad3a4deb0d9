"""Stands in for an external newsletter service, which is sometimes down."""

from django.dispatch import Signal

OUT_OF_REACH = "unreachable.example"

# Sent with `address`, before the service is asked.
subscribing = Signal()


class NewsletterError(Exception):
    """The service did not answer."""


def subscribe(address: str) -> None:
    """Put an address on the list; raise `NewsletterError` for any at `unreachable.example`."""
    subscribing.send(sender=subscribe, address=address)
    if address.endswith(f"@{OUT_OF_REACH}"):
        raise NewsletterError(f"The newsletter service did not take {address}.")
