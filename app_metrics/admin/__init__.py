"""What the project's admin shows; importing the parts registers them."""

from . import alerts, dashboard, metrics, reports

__all__ = ["alerts", "dashboard", "metrics", "reports"]
