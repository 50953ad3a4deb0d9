"""Run the statements that Django's ORM cannot express, one module per database vendor."""

from .vendors import VENDORS, dialect_for, vendor_of

__all__ = ["VENDORS", "dialect_for", "vendor_of"]
