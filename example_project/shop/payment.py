"""Stands in for the payment provider."""

from decimal import Decimal

from django.dispatch import Signal

# Sent with `amount`.
refused = Signal()


class PaymentRefusedError(Exception):
    """The card was refused."""


def charge(card: str, amount: Decimal) -> None:
    """Charge a card; raise `PaymentRefusedError` if its number ends in 0000."""
    if card.endswith("0000"):
        refused.send(sender=charge, amount=amount)
        raise PaymentRefusedError(f"The card was refused for {amount} €.")
