"""Define what all packages share: periods, numbers, labels, summaries, batches, text. No database."""
