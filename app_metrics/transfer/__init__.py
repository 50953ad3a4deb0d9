"""Export totals as CSV or JSON, import CSV, and fill or verify history from source tables."""
