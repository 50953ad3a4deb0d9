"""The read-only JSON API and the Prometheus endpoint."""
