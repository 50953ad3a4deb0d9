"""Plan, build, render and mail the reports of metric sets."""

from .content import build_report

__all__ = ["build_report"]
