"""The vocabulary all speak: periods, numbers, labels, summaries, batches, texts. No database."""
