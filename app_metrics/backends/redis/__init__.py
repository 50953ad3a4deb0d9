"""Fold batches into hashes in Redis, with one round trip per batch; aggregations move them to the item log."""

from .backend import MetricsBackend

__all__ = ["MetricsBackend"]
