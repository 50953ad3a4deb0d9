"""`metric()`, `gauge()`, `Timer`, and the scope that gathers until a request, task or block ends."""
