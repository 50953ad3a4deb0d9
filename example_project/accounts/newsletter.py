"""Stands for the newsletter service of another company, which is sometimes out of reach."""

OUT_OF_REACH = "unreachable.example"


class NewsletterError(Exception):
    """The service did not answer."""


def subscribe(address: str) -> None:
    """Put an address on the list; raise `NewsletterError` for any at `unreachable.example`."""
    if address.endswith(f"@{OUT_OF_REACH}"):
        raise NewsletterError(f"The newsletter service did not take {address}.")
