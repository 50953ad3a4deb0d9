"""Deliver batches to the configured backend now, from a thread or in a later retry, and never raise to the caller."""
