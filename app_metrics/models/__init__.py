from .backfill import Backfill
from .counting import (
    KIND_NAMES,
    PERIOD_NAMES,
    AggregationRun,
    Dashboard,
    ImportedFile,
    Item,
    Metric,
    MetricQuerySet,
    QuarantinedItem,
    StoredSummary,
    Total,
)  # fmt: skip
from .ledger import LedgerRow
from .reporting import Delivery, MetricSet, Notice, OutgoingMail, ReportedMilestone, Schedule, Unsubscription
from .watching import Alert, HighWaterMark, Milestone

__all__ = [
    "KIND_NAMES", "PERIOD_NAMES", "AggregationRun", "Alert", "Backfill", "Dashboard", "Delivery", "HighWaterMark",
    "ImportedFile", "Item", "LedgerRow", "Metric", "MetricQuerySet", "MetricSet", "Milestone", "Notice", "OutgoingMail",
    "QuarantinedItem", "ReportedMilestone", "Schedule", "StoredSummary", "Total", "Unsubscription",
]  # fmt: skip
