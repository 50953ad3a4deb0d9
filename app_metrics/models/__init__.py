from .alerts import Alert, HighWaterMark, Milestone
from .backfill import Backfill
from .ledger import LedgerRow
from .metrics import (
    KIND_NAMES,
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
from .reports import (
    Delivery,
    MetricSet,
    Notice,
    OutgoingMail,
    ReportedMilestone,
    Schedule,
    Unsubscription,
)

__all__ = [
    "KIND_NAMES", "AggregationRun", "Alert", "Backfill", "Dashboard", "Delivery", "HighWaterMark",
    "ImportedFile", "Item", "LedgerRow", "Metric", "MetricQuerySet", "MetricSet", "Milestone", "Notice", "OutgoingMail",
    "QuarantinedItem", "ReportedMilestone", "Schedule", "StoredSummary", "Total", "Unsubscription",
]  # fmt: skip
