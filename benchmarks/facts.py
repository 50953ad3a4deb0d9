"""What a figure depends on: the versions of everything that takes part, and the machine."""

import os
import platform
import re
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.support.servers import Unavailable, find

PACKAGES = {
    "django": "Django",
    "prometheus_client": "prometheus_client",
    "django-prometheus": "django-prometheus",
    "opentelemetry-sdk": "opentelemetry-sdk",
    "opentelemetry-instrumentation-django": "opentelemetry-instrumentation-django",
    "datadog": "datadog",
    "psycopg": "psycopg",
    "mysqlclient": "mysqlclient",
    "redis-py": "redis",
    "celery": "celery",
    "gunicorn": "gunicorn",
}
PROGRAMS = {"PostgreSQL": "postgres", "MariaDB": "mariadbd", "Redis": "redis-server", "wrk": "wrk"}


def versions() -> dict[str, str]:
    """Return the versions of Python, of the packages, the database servers and wrk that are installed."""
    found = {"python": platform.python_version()}
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    found["SQLite"] = sqlite3.sqlite_version
    for name, program in PROGRAMS.items():
        try:
            found[name] = program_version(program)
        except Unavailable:
            continue
    return found


def program_version(program: str) -> str:
    """Return the first number with a point that a program says of itself; raise Unavailable where there is none."""
    said = subprocess.run([find(program), "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+\.[\d.]*\d", said)
    return number.group() if number else "unknown"


def machine() -> dict[str, str | int]:
    """Return what the machine is, but not its name; memory in GiB."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(pages / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
    }


def processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or "unknown"
