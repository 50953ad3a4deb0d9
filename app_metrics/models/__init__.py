from .counting import (
    KIND_NAMES,
    PERIOD_NAMES,
    AggregationRun,
    ImportedFile,
    Item,
    Metric,
    MetricQuerySet,
    QuarantinedItem,
    StoredSummary,
    Total,
)  # fmt: skip
from .reporting import Delivery, MetricSet, Notice, OutgoingMail, ReportedMilestone, Schedule, Unsubscription
from .watching import Alert, HighWaterMark, Milestone

__all__ = [
    "KIND_NAMES", "PERIOD_NAMES", "AggregationRun", "Alert", "Delivery", "HighWaterMark", "ImportedFile", "Item",
    "Metric", "MetricQuerySet", "MetricSet", "Milestone", "Notice", "OutgoingMail", "QuarantinedItem",
    "ReportedMilestone", "Schedule",
    "StoredSummary", "Total", "Unsubscription",
]  # fmt: skip
