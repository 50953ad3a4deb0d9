"""Fork a site's processes on demand: `python -m tests.soak.faults.nursery SOCKET`.

A fresh start takes a second, a fork ten milliseconds. Each connection to the socket starts one process: it reads one
line of JSON, `{"role": name, "arguments": {…}, "overrides": {…}}`, answers with its process id, runs that function of
`tests.soak.faults.roles`, and answers with the return value. When standard input closes, all processes are killed.
"""

import json
import os
import select
import signal
import sys
import traceback
from socketserver import ForkingMixIn, StreamRequestHandler, UnixStreamServer

import django
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections

from tests.soak.faults import working


class Role(StreamRequestHandler):
    def handle(self):
        from tests.soak.faults import roles, straining, writing

        request = json.loads(self.rfile.readline())
        self.say(os.getpid())
        try:
            override(**request["overrides"])
            if settings.FAULTS_REFUSING:
                writing.handle_batches(writing.refuse)
            if settings.FAULTS_DAYS_AHEAD:
                straining.set_clock_ahead(settings.FAULTS_DAYS_AHEAD)
            self.say({"result": roles.ROLES[request["role"]](**request["arguments"])})
        except Exception:
            self.say({"error": traceback.format_exc()})

    def say(self, answer):
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Nursery(ForkingMixIn, UnixStreamServer):
    max_children = 1000


def override(database, options):
    """Override settings of this process; call it before anything connects."""
    connections.settings["default"].update(database)
    for name, value in options.items():
        setattr(settings, name, value)
        setting_changed.send(override, setting=name, value=value, enter=True)
    if options:
        working.make_app_of_site()


def merge_sketches_early():
    """Let aggregations merge the sketches of totals after a few were appended, and replace few hashes with registers.

    Call it before a dialect or a backend is loaded, which copy these numbers.
    """
    from app_metrics.core import summary, uniques
    from app_metrics.storage.dialects import base

    base.LONG = 40
    uniques.EXACT = summary.EXACT_UNIQUES = 3


def main(path):
    # As in a project, whose Celery app exists once Django is ready.
    working.make_app_of_site()
    django.setup()
    merge_sketches_early()
    # Import once here instead of in every child.
    import tests.soak.faults.roles  # noqa: F401

    with Nursery(path, Role) as nursery:
        print("ready", flush=True)
        # This pipe is not read any further: once it is full, printing its banner would block a worker forever.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        while select.select([nursery, sys.stdin], [], [])[0] == [nursery]:
            nursery.handle_request()
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.soak.faults.settings"
    main(*sys.argv[1:])
