"""Define what all packages share, without a database: periods, numbers, labels, summaries, batches, text."""
