"""Deliver batches to the configured backend: now, from a thread, or in a later retry. Never raise to the caller."""
