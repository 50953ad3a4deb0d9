"""What `make bench` runs, and where the results go."""

from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
# The servers of each benchmark, and whether they wait for the disk, to survive a kill.
BENCHMARKS: dict[str, Mapping[str, bool]] = {
    "calls": {},
    "middleware": {},
    "server": {"postgresql": True, "redis": False},
    "writing": {"postgresql": False, "mariadb": False, "redis": False},
    "aggregation": {"postgresql": False, "mariadb": False},
    "reading": {},
    "dashboard": {"postgresql": False},
    "outages": {},
}
# The processes that run the servers of this one.
server_pids: list[int] = []
