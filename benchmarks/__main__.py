"""Run every benchmark, or those that are named, each in a process of its own: `python -m benchmarks calls`.

With FULL=1 in the environment they measure at scale. It exits with 1 if any of them failed, as one does whose subject
or reference did not count what it was given.
"""

import json
import subprocess
import sys
import time

from .facts import machine, versions
from .measuring import FULL, RESULTS, verdict
from .tables import Table

BENCHMARKS = (
    "calls", "middleware", "writing", "aggregation", "server", "reading", "reports", "dashboard", "outages",
)  # fmt: skip


def main(*names: str) -> int:
    chosen = names or BENCHMARKS
    print("\n".join(f"{name}: {value}" for name, value in {**machine(), **versions()}.items()))
    begin = time.monotonic()
    failed = [name for name in chosen if run(name)]
    show_limits(chosen)
    print(f"{time.monotonic() - begin:.0f} s in all, {'at scale' if FULL else 'the short form'}.")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


def run(name: str) -> int:
    """Run a benchmark and return its exit status; what an earlier run of it left is no result of this one."""
    print(f"\n=== {name} {'=' * 60}", flush=True)
    (RESULTS / f"{name}.json").unlink(missing_ok=True)
    begin = time.monotonic()
    status = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    return status


def show_limits(names: tuple[str, ...]) -> None:
    files = [file for name in names if (file := RESULTS / f"{name}.json").exists()]
    limits = [limit for file in files for limit in json.loads(file.read_text())["limits"]]
    rows = [[each["what"], each["against"], each["found"], each["limit"], verdict(each)] for each in limits]
    if rows:
        print("\n" + Table("Numbers to hold", ["what", "against", "found", "at most", ""], rows).text())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
