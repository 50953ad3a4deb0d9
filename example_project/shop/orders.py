from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from app_metrics import track

from . import payment
from .models import Order, Payment, Plan


def place_order(customer: User, *, plan: str, quantity: int, card: str) -> Order:
    """Save an order and charge the card.

    A refused card raises `PaymentRefusedError` and leaves no order behind.
    """
    amount = Plan(plan).price * quantity
    with transaction.atomic():
        order = Order.objects.create(customer=customer, plan=plan, quantity=quantity, amount=amount)
        payment.charge(card, amount)
        Payment.objects.create(order=order)
    return order


@track("statements")
def statement(customer: User) -> str:
    """Return a customer's orders as plain text."""
    lines = [statement_line(order) for order in customer.orders.all()]
    return "\n".join([f"Statement for {customer.get_username()}", "", *lines, ""])


def statement_line(order: Order) -> str:
    day = timezone.localdate(order.created_at)
    return f"{day}  {order.quantity:>3} {order.plan:<10} {order.amount:>10} €"
