"""What the documented shop has counted before its developer reads on: orders, as the API shows, and other metrics."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.utils import timezone

from app_metrics import collect, gauge, metric, unique
from app_metrics.core.summary import TIMER
from app_metrics.models import Annotation, Metric
from app_metrics.recording.metrics import record

BERLIN = ZoneInfo("Europe/Berlin")

Metric.objects.create(name="Orders", slug="orders", unit="EUR", description="What was paid")
Metric.objects.create(name="Downloads", slug="downloads")
Metric.objects.create(name="Queue", slug="queue_length", kind="gauge")
Metric.objects.create(name="Export", slug="export", kind="timer")
for plan, amount, day in (("free", "5", 2), ("pro", "19.99", 23), ("pro", "39.98", 23)):
    at = datetime(2026, 11, day, 9, tzinfo=BERLIN)
    metric("orders", Decimal(amount), labels={"plan": plan}, at=at)
for plan, country, number in (("pro", "se", 30), ("pro", "fi", 10), ("free", "fi", 100)):
    metric("renewals", number, labels={"plan": plan, "country": country})
metric("renewals", 4, labels={"plan": "pro"})
for user in (7, 8, 7):
    unique("active_users", user)
Annotation.objects.create(
    text="Release 4.2", url="https://example.com/4.2", at=datetime(2026, 11, 23, 9, tzinfo=BERLIN)
)
gauge("queue_length", 17)
record("export", TIMER, Decimal("0.25"))

with collect():
    for weeks, number in enumerate((96, 425, 411, 412)):
        for _ in range(number):
            metric("downloads", at=timezone.localtime() - timedelta(weeks=weeks))
