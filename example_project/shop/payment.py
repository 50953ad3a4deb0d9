"""Stands for the company that takes the cards."""

from decimal import Decimal


class PaymentRefusedError(Exception):
    """The card is not good for the amount."""


def charge(card: str, amount: Decimal) -> None:
    """Take an amount from a card; raise `PaymentRefusedError` for every card that ends in 0000."""
    if card.endswith("0000"):
        raise PaymentRefusedError(f"The card was refused for {amount} €.")
