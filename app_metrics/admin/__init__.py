"""Show metrics, reports and alerts in the admin; importing these modules registers their pages."""

from . import alerts, annotations, dashboard, metrics, reports

__all__ = ["alerts", "annotations", "dashboard", "metrics", "reports"]
