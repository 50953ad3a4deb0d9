"""How much of the suite runs: the tests for daily work, everything, or everything at full length.

`APP_METRICS_TEST_SCOPE` selects it: "default" (as `make test`), "all" (as `make test-all`) or "soak" (as `make soak`).
"""

import os

DEFAULT, ALL, SOAK = SCOPES = ("default", "all", "soak")

scope = os.environ.get("APP_METRICS_TEST_SCOPE") or DEFAULT
if scope not in SCOPES:
    raise ValueError(f"APP_METRICS_TEST_SCOPE is {scope!r}; choose one of {', '.join(SCOPES)}.")

# Whether every test runs on every database, and slow tests run at all.
everything = scope != DEFAULT
# Whether soak tests run long enough to find rare faults.
full_length = scope == SOAK


def examples(number: int) -> int:
    """Return how many examples hypothesis tries: this number if everything runs, else a sixth."""
    return number if everything else max(5, number // 6)
