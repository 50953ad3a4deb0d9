"""Figures of the site's own tables, calculated without app_metrics."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal

from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from example_project.shop.models import Order

from .models import Visit

PERCENT = 95
# More users than this are an estimate; four standard errors.
EXACT, ESTIMATE_ERROR = 1000, 4 * 0.0163

# The lowest and the highest value that a figure may have; None if there is nothing to calculate it from.
Bounds = tuple[str, str] | None


def periods(today: date) -> dict[str, tuple[date, date]]:
    """Return the first date of each period that is compared, and the first date after it."""
    tomorrow, yesterday = today + timedelta(days=1), today - timedelta(days=1)
    monday = today - timedelta(days=today.weekday())
    return {
        "today": (today, tomorrow),
        "yesterday": (yesterday, today),
        "this week": (monday, tomorrow),
        "last week": (monday - timedelta(days=7), monday),
        "this month": (today.replace(day=1), tomorrow),
    }


def figures(first: date, after: date) -> dict[str, Bounds]:
    begin, end = _midnight(first), _midnight(after)
    visits = _visits(begin, end)
    orders = Order.objects.filter(created_at__gte=begin, created_at__lt=end)
    sold = orders.aggregate(count=Count("pk"), revenue=Sum("amount"))
    searches = visits.filter(path__startswith="/search/?q=").count()
    checkouts = visits.filter(method="POST", path="/checkout/", status=302)
    return {
        "active_users": _exactly(_users(visits)),
        "checkout_seconds": _percentile(checkouts),
        "conversion": _exactly(Decimal(100 * sold["count"]) / searches if searches else None),
        "average_order": _exactly(sold["revenue"] / sold["count"] if sold["count"] else None),
        "stickiness": _stickiness(after),
    }


def _visits(begin: datetime, end: datetime) -> QuerySet[Visit]:
    return Visit.objects.filter(at__gte=begin, at__lt=end, status__lt=400).exclude(method="HEAD")


def _users(visits: QuerySet[Visit]) -> int:
    found: int = visits.aggregate(users=Count("user", distinct=True))["users"]
    return found


def _stickiness(after: date) -> Bounds:
    """Return the percentage of the users of 30 days who came on the last one; many users may be an estimate."""
    day, month = (_users(_visits(_midnight(after - timedelta(days=days)), _midnight(after))) for days in (1, 30))
    if month <= EXACT:
        return _exactly(Decimal(100 * day) / month if month else None)
    return (str(100 * day / (month * (1 + ESTIMATE_ERROR))), str(100 * day / (month * (1 - ESTIMATE_ERROR))))


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _exactly(number: Decimal | int | None) -> Bounds:
    return None if number is None else (str(number), str(number))


def _percentile(visits: QuerySet[Visit]) -> Bounds:
    """Return between which seconds the percentile lies, by the nearest rank."""
    columns = [sorted(visits.values_list(name, flat=True)) for name in ("at_least", "at_most")]
    rank = -(-PERCENT * len(columns[0]) // 100)
    return (str(columns[0][rank - 1]), str(columns[1][rank - 1])) if rank else None
