"""The pages of the admin; importing these modules registers them."""

from . import alerts, dashboard, metrics, reports

__all__ = ["alerts", "dashboard", "metrics", "reports"]
