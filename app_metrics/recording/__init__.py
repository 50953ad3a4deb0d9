"""Record with `metric()`, `gauge()` and `Timer`, and gather entries until a request, task or block ends."""
