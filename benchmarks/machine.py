"""The machine and versions that results depend on, and the processor time of processes."""

import os
import platform
import re
import sqlite3
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.support.servers import Unavailable, find

PACKAGES = (
    "django", "prometheus_client", "django-prometheus", "opentelemetry-sdk", "opentelemetry-instrumentation-django",
    "datadog", "psycopg", "mysqlclient", "redis", "celery", "gunicorn",
)  # fmt: skip
PROGRAMS = {"PostgreSQL": "postgres", "MariaDB": "mariadbd", "Redis": "redis-server", "wrk": "wrk"}


def versions():
    """Return the versions of Python and of the installed packages and programs."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found["redis-py" if package == "redis" else package] = version(package)
    found["SQLite"] = sqlite3.sqlite_version
    for name, program in PROGRAMS.items():
        with suppress(Unavailable):
            command = [find(program), "--version"]
            output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            number = re.search(r"\d+\.[\d.]*\d", output)
            found[name] = number.group() if number else "unknown"
    return found


def machine():
    """Return the hardware and the operating system, without the machine's name."""
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    processor = re.search(r"^model name\s*: (.+)$", read(Path("/proc/cpuinfo")), re.MULTILINE)
    return {
        "processor": processor.group(1) if processor else platform.processor() or "unknown",
        "cores": os.cpu_count() or 1,
        "memory": f"{gib:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def cpu_seconds(*pids):
    """Return the processor time that processes and their descendants have used (Linux only)."""
    return sum(ticks(pid) for root in pids for pid in family(root)) / os.sysconf("SC_CLK_TCK")


def family(pid):
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in read(task).split():
            yield from family(int(child))


def ticks(pid):
    """Return the processor time of a process and its reaped children; 0 once it has ended."""
    return sum(map(int, read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[11:15]))


def read(file):
    try:
        return file.read_text()
    except OSError:
        return ""
