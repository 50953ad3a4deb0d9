import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from app_metrics import collect
from app_metrics.core.summary import COUNTER, GAUGE, TIMER, UNIQUE
from app_metrics.recording.metrics import record
from app_metrics.transfer.stored_totals import first_stored_day
from app_metrics.utils import create_metric, create_metric_set
from example_project.shop.history import Event, day_events
from example_project.visits import history as visits

NAMES = {
    "signups": "New accounts",
    "logins": "Logins",
    "failed_logins": "Failed logins",
    "account_forms": "Sign-up and login forms",
    "newsletter_subscribers": "Newsletter subscribers",
    "downloads": "Downloaded reading guides",
    "downloaded_bytes": "Bytes of downloaded reading guides",
    "searches": "Searches",
    "checkouts": "Checkouts",
    "checkout_seconds": "Duration of a checkout",
    "orders": "Orders",
    "items_sold": "Boxes sold",
    "revenue": "Revenue in €",
    "large_orders": "Orders of four boxes or more",
    "payment_seconds": "Time from an order to its payment",
    "refused_payments": "Refused payments in €",
    "stock": "Copies on the shelf",
    "delivered_copies": "Delivered copies",
    "book_changes": "Changes of books",
    "statements": "Statements",
    "exported_rows": "Exported catalogue rows",
    "failures": "Failed pages",
    "requests": "Pages by URL",
    "active_users": "Active users",
    "not_found": "Addresses that do not exist",
}
KINDS = {"checkout_seconds": TIMER, "payment_seconds": TIMER, "stock": GAUGE, "active_users": UNIQUE}
# How long after its end an hour is filled by metrics_backfill at the earliest, which fills in the active users.
MARGIN = timedelta(minutes=10)
DAYS_BETWEEN_LINES = 100


class Command(BaseCommand):
    help = "Record a made-up history of the shop, up to an hour that has ended: demo data, the same in every run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=400, help="how far back (default: 400)")
        parser.add_argument("--again", action="store_true", help="add to a history that is there")

    def handle(self, *args: Any, days: int, again: bool, **options: Any) -> None:
        if days < 1:
            raise CommandError("--days must be at least 1.")
        if has_history() and not again:
            raise CommandError("There is a history already; --again records it a second time.")
        if not again:
            name_metrics()
        until = (timezone.localtime() - MARGIN).replace(minute=0, second=0, microsecond=0)
        first = until.date() - timedelta(days=days)
        past = [first + timedelta(days=number) for number in range(days + 1)]
        self.stdout.write(f"Recording demo data, made up: {first} to {until:%Y-%m-%d %H:%M}")
        events, customers = 0, visits.add_customers()
        for day in self.progress(past):
            happened = list(until_then(day, (day - first).days / days, until))
            record_day(happened)
            if past[-1] - day < timedelta(days=visits.DAYS):
                visits.add_rows(day, happened, customers)
            events += len(happened)
        self.stdout.write(f"Recorded {events:,} events of {days} days and the hours of today.")

    def progress(self, days: list[date]) -> Iterable[date]:
        """Yield the days; show a progress bar on a terminal, and occasional lines elsewhere."""
        if sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                pass
            else:
                return tqdm(days, unit=" days", leave=False)
        return self.lines(days)

    def lines(self, days: list[date]) -> Iterator[date]:
        for number, day in enumerate(days, start=1):
            yield day
            if number % DAYS_BETWEEN_LINES == 0:
                self.stdout.write(f"  {number} of {len(days)} days")


def has_history() -> bool:
    return first_stored_day("orders") is not None


def name_metrics() -> None:
    metrics = [create_metric(name=name, slug=slug, kind=KINDS.get(slug, COUNTER)) for slug, name in NAMES.items()]
    staff = get_user_model().objects.filter(is_staff=True)
    create_metric_set(name="Harbour Books", metrics=metrics, email_recipients=list(staff))


def until_then(day: date, progress: float, until: datetime) -> Iterator[Event]:
    for event in day_events(day, progress, timezone.get_default_timezone()):
        if event.at < until:
            yield event


def record_day(events: list[Event]) -> None:
    """Record the events of a day as one batch."""
    with collect():
        for event in events:
            record(event.slug, event.kind, event.number, event.labels, event.at)
