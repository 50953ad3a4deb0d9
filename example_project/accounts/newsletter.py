"""Stands in for an external newsletter service, which is sometimes down."""

OUT_OF_REACH = "unreachable.example"


class NewsletterError(Exception):
    """The service did not answer."""


def subscribe(address: str) -> None:
    """Put an address on the list; raise `NewsletterError` for any at `unreachable.example`."""
    if address.endswith(f"@{OUT_OF_REACH}"):
        raise NewsletterError(f"The newsletter service did not take {address}.")
