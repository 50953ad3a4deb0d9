"""`metric()`, `gauge()`, `Timer`, and the scope that gathers entries until a request, task or block ends."""
