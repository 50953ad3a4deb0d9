"""Harbour Books, a small bookshop counted by app_metrics: a demonstration, not a real shop."""
