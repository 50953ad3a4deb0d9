"""How much of the suite runs: what people wait for, everything, or everything at full length.

`APP_METRICS_TEST_SCOPE` says which: "default" (as `make test`), "all" (as `make test-all`) or "soak" (as `make soak`).
"""

import os

DEFAULT, ALL, SOAK = SCOPES = ("default", "all", "soak")

scope = os.environ.get("APP_METRICS_TEST_SCOPE") or DEFAULT
if scope not in SCOPES:
    raise ValueError(f"APP_METRICS_TEST_SCOPE is {scope!r}; choose one of {', '.join(SCOPES)}.")

# Whether every test runs on every database, and those marked as slow run at all.
everything = scope != DEFAULT
# Whether the soaks run for as long as it takes to find rare faults.
full_length = scope == SOAK


def examples(number: int) -> int:
    """Return how many examples hypothesis tries: so many where everything runs, else a sixth."""
    return number if everything else max(5, number // 6)
