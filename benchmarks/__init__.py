"""What `make bench` runs, and where the results go."""

from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
# Each benchmark's servers, and whether they sync writes to disk, so that committed data survives a kill.
BENCHMARKS: dict[str, Mapping[str, bool]] = {
    "calls": {},
    "middleware": {},
    "server": {"postgresql": True, "mariadb": True, "mysql": True, "redis": False},
    "writing": dict.fromkeys(["postgresql", "mariadb", "mysql", "redis"], False),
    "aggregation": dict.fromkeys(["postgresql", "mariadb", "mysql"], False),
    "timers": dict.fromkeys(["postgresql", "mariadb", "mysql"], False),
    "uniques": dict.fromkeys(["postgresql", "mariadb", "mysql"], False),
    "reading": {},
    "dashboard": {"postgresql": False},
    "size": {"postgresql": False},
    "outages": {},
    "scaling": dict.fromkeys(["postgresql", "redis"], False),
}
# Process ids of the servers of the current benchmark.
server_pids: list[int] = []
