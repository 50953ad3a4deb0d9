"""Use the database beyond the ORM: one SQL dialect per vendor, the ledger, and retried transactions."""
