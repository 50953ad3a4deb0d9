"""The small site on a real server, with settings of a single test."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request

from scripts.server import HOST, free_port, stop, wait_until_ready
from tests.support.paths import ROOT


def sqlite(path):
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"timeout": 60}}


def environment(database, **settings):
    return {**os.environ, "SMALL_SITE": json.dumps({"DATABASES": {"default": database}, **settings})}


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
