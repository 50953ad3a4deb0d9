"""Define the tables, and read their summaries: totals and pending items together."""

from .alerts import Alert, HighWaterMark, Milestone
from .annotations import Annotation
from .backfill import Backfill
from .jobs import RecurringJob
from .ledger import LedgerRow
from .metrics import (
    KIND_NAMES,
    AggregationRun,
    Dashboard,
    ImportedFile,
    Metric,
    MetricQuerySet,
    QuarantinedItem,
)  # fmt: skip
from .reports import (
    Delivery,
    MetricSet,
    Notice,
    OutgoingMail,
    ReportedMilestone,
    Schedule,
    Unsubscription,
)
from .totals import Item, StoredSummary, Total

__all__ = [
    "KIND_NAMES", "AggregationRun", "Alert", "Annotation", "Backfill", "Dashboard", "Delivery", "HighWaterMark",
    "ImportedFile", "Item", "LedgerRow", "Metric", "MetricQuerySet", "MetricSet", "Milestone", "Notice", "OutgoingMail",
    "QuarantinedItem", "RecurringJob", "ReportedMilestone", "Schedule", "StoredSummary", "Total", "Unsubscription",
]  # fmt: skip
