"""Totals out and in as CSV and JSON; the past filled in from tables, and verified."""
