"""What the ORM cannot say: one dialect a vendor, the ledger, and transactions tried again."""
