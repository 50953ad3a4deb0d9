"""Harbour Books, a small bookshop counted by app_metrics: a demonstration, not a real shop."""

import os

if os.environ.get("EXAMPLE_METRICS_BACKEND") == "celery":
    # Make every process of the site load the app, as Celery's guide for Django recommends.
    from .celery import app as app
