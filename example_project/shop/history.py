"""A made-up history: what a small, growing bookshop could have counted."""

import math
import random
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import NamedTuple

from app_metrics.core.summary import COUNTER, GAUGE, TIMER

from .models import Plan

SEED = "Harbour Books"

# Monday to Sunday: people order on Saturdays, and read on Sundays.
WEEKDAYS = (0.95, 1.0, 1.02, 1.05, 1.1, 1.25, 0.8)
# From midnight: almost no activity at night, most in the evening.
HOURS = (1, 0, 0, 0, 0, 1, 3, 6, 9, 11, 12, 12, 14, 11, 10, 10, 11, 13, 16, 19, 20, 16, 9, 4)

# Events on an average day at the start of the history; the shop grows from there, so that the day of a demo does not
# dwarf all others.
PER_DAY = {
    "signups": 6,
    "logins": 30,
    "failed_logins": 3,
    "downloads": 70,
    "searches": 80,
    "statements": 30,
    "orders": 60,
    "exported_rows": 25,
    "failures": 4,
}
GROWTH = 1.4
BAD_DAYS = 0.015

PLANS = (Plan.SINGLE, Plan.QUARTERLY, Plan.YEARLY)
PLAN_SHARES = (50, 30, 20)
QUANTITIES = (1, 2, 3, 5, 10)
QUANTITY_SHARES = (72, 17, 6, 4, 1)
CATALOGUE_ROWS = 46
CHECKOUT_SECONDS = 0.008
PAYMENT_SHARE = 0.2
TITLES = ("Dracula", "Emma", "Kim")
MOST_COPIES = 40


class Event(NamedTuple):
    slug: str
    number: int | float | Decimal
    labels: dict[str, str]
    at: datetime
    kind: str = COUNTER


def day_events(day: date, progress: float, zone: tzinfo) -> Iterator[Event]:
    """Yield the events of one day; `progress` is 0 on the first day of the history, 1 on the last.

    The same day and progress always yield the same events.
    """
    chance = random.Random(f"{SEED} {day}")
    mood = chance.lognormvariate(0, 0.12) * _season(day) * WEEKDAYS[day.weekday()]
    for slug, average in PER_DAY.items():
        expected = average * mood * (1 + GROWTH * progress)
        if slug == "failures" and chance.random() < BAD_DAYS:
            expected += 60
        for _ in range(round(chance.gauss(expected, math.sqrt(expected)))):
            yield from _happening(slug, _moment(day, zone, chance), chance)
    yield from _stock(datetime.combine(day, time(8), zone))


def _stock(at: datetime) -> Iterator[Event]:
    chance = random.Random(f"{SEED} {at}")
    for title in TITLES:
        yield Event("stock", chance.randint(1, MOST_COPIES), {"title": title}, at, GAUGE)


def _checkout_seconds(at: datetime) -> float:
    """Return how long a checkout took: longer in busy hours, and occasionally much longer."""
    chance = random.Random(f"{SEED} {at}")
    return CHECKOUT_SECONDS * (1 + HOURS[at.hour] / max(HOURS)) * chance.lognormvariate(0, 0.5)


def _season(day: date) -> float:
    """Return 1.6 in the week before Christmas, and a little less than 1 in summer."""
    christmas = max(0.0, 1 - abs((date(day.year, 12, 17) - day).days) / 25)
    return 1 + 0.6 * christmas - (0.1 if day.month in (7, 8) else 0)


def _moment(day: date, zone: tzinfo, chance: random.Random) -> datetime:
    [hour] = chance.choices(range(24), HOURS)
    seconds = timedelta(seconds=chance.randrange(3600))
    return datetime.combine(day, time(hour), zone) + seconds


def _happening(slug: str, at: datetime, chance: random.Random) -> Iterator[Event]:
    if slug == "exported_rows":
        yield Event(slug, CATALOGUE_ROWS, {}, at)
        return
    yield Event(slug, 1, {}, at)
    if slug == "orders":
        [plan] = chance.choices(PLANS, PLAN_SHARES)
        [quantity] = chance.choices(QUANTITIES, QUANTITY_SHARES)
        yield Event("checkouts", 1, {"method": "POST"}, at)
        seconds = _checkout_seconds(at)
        yield Event("checkout_seconds", seconds, {}, at, TIMER)
        yield Event("payment_seconds", seconds * PAYMENT_SHARE, {}, at, TIMER)
        yield Event("items_sold", quantity, {"plan": plan.value}, at)
        yield Event("revenue", plan.price * quantity, {"plan": plan.value}, at)
