"""Harbour Books, a small bookshop counted by app_metrics: a demonstration, not a real shop."""

import os

if os.environ.get("EXAMPLE_METRICS_BACKEND") == "celery":
    # So that every process of the site knows the app, as Celery's guide for Django has it.
    from .celery import app as app
