"""The visits and orders behind the latest days of the made-up history, as rows."""

import random
from collections.abc import Iterable
from datetime import date

from django.contrib.auth.models import User

from example_project.shop.history import SEED, Event
from example_project.shop.models import Order, Plan

from .models import Visit

# The last closed week, this month and the days between are always among them.
DAYS = 40
CUSTOMERS = 600
# Method, path and status of the visit in which something happened.
VISITS = {
    "logins": ("POST", "/accounts/login/", 302),
    "searches": ("GET", "/search/?q=sea", 200),
    "checkout_seconds": ("POST", "/checkout/", 302),
}


def add_customers() -> list[int]:
    """Add the customers of the history, and return their primary keys."""
    names = [f"customer-{number}" for number in range(CUSTOMERS)]
    User.objects.bulk_create([User(username=name, password="!") for name in names], ignore_conflicts=True)
    return list(User.objects.filter(username__in=names).order_by("pk").values_list("pk", flat=True))


def add_rows(day: date, events: Iterable[Event], customers: list[int]) -> None:
    """Add the visits and orders of a day; a few customers come often, most of them rarely."""
    chance = random.Random(f"{SEED} customers {day}")
    visits, orders = [], []
    for event in events:
        customer = customers[int(CUSTOMERS * chance.random() ** 3)]
        if event.slug in VISITS:
            visits.append(_visit(event, customer))
        elif event.slug == "revenue":
            orders.append(_order(event, customer))
    Visit.objects.bulk_create(visits)
    Order.objects.bulk_create(orders)


def _visit(event: Event, customer: int) -> Visit:
    method, path, status = VISITS[event.slug]
    seconds = float(event.number)
    return Visit(
        user_id=customer, method=method, path=path, status=status, at_least=seconds, at_most=seconds, at=event.at
    )


def _order(event: Event, customer: int) -> Order:
    plan = Plan(event.labels["plan"])
    quantity = int(event.number / plan.price)
    return Order(customer_id=customer, plan=plan, quantity=quantity, amount=event.number, created_at=event.at)
