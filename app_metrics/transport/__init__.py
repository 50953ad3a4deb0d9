"""Brings batches to the configured backend, now, soon or later, and never breaks the caller."""
