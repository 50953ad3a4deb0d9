"""Types and functions that all packages share: periods, numbers, labels, summaries, batches, text. No database."""
