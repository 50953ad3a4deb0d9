"""Run the statements that Django's ORM cannot express, one module per database vendor."""

from .vendors import dialect_for

__all__ = ["dialect_for"]
