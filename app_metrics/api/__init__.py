"""Serve totals to other tools, read-only: the JSON API and the Prometheus endpoint."""
