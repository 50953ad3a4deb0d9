"""The small site on a real server, with settings of a single test."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from collections import Counter

from app_metrics.storage.journal import Journal
from scripts.server import HOST, free_port, stop, wait_until_ready
from tests.support.paths import ROOT


def sqlite(path):
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"timeout": 60}}


def environment(database, **settings):
    return {**os.environ, "SMALL_SITE": json.dumps({"DATABASES": {"default": database}, **settings})}


def found(path):
    """Return how often each slug was recorded in a SQLite database, or in the journal beside it."""
    counts = Counter()
    for (slug, _), count in found_by_labels(path).items():
        counts[slug] += count
    return dict(counts)


def found_by_labels(path):
    """Return how often each slug with its labels was recorded in a SQLite database, or in the journal beside it."""
    rows = "SELECT slug, labels, SUM(count) FROM app_metrics_item GROUP BY slug, labels"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        counts = Counter({(slug, labels): count for slug, labels, count in connection.execute(rows)})
    for batch in Journal(path).pending():
        for key, summary in batch.summaries.items():
            counts[key.slug, key.labels] += summary.count
    return counts


@contextlib.contextmanager
def served(command, variables, log):
    port = free_port()
    command = [sys.executable, "-m", *(part.format(bind=f"{HOST}:{port}", port=port) for part in command)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    try:
        address = f"http://{HOST}:{port}"
        wait_until_ready(address, process, log)
        yield address, process
    finally:
        stop(process)


def visit(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.status


def manage(variables, *arguments):
    command = [sys.executable, "-m", "tests.support.small_site", *arguments]
    answer = subprocess.run(
        command, check=True, cwd=ROOT, env=variables, timeout=120, stdout=subprocess.PIPE, text=True
    )
    return answer.stdout
