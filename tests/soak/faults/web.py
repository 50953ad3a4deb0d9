"""A page that records a batch and answers with its worker's process id, served by gunicorn."""

import os
import time
from itertools import count
from random import Random
from uuid import uuid4

from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from gunicorn.app.base import BaseApplication

from tests.soak.faults.journal import Journal
from tests.soak.faults.writing import record, settle

JOURNAL = "faults.journal"
# Seconds between an answer and its batch, so that some kills strike between the two.
LINGERING = 0.004
# One per worker, as the page is loaded after the fork.
random, batches = Random(), (f"{uuid4().hex}-{number}" for number in count())
requests = count(1)


def page(request):
    record(request.environ[JOURNAL], next(batches), random)
    answer = str(os.getpid())
    # With a length, the visitor has the whole answer before the response is closed.
    return HttpResponse(answer, headers={"Content-Length": len(answer)})


urlpatterns = [path("", page)]


class Server(BaseApplication):
    """gunicorn on a Unix socket."""

    def __init__(self, socket, journal, workers):
        self._journal = journal
        self._settings = {
            "bind": f"unix:{socket}",
            "workers": workers,
            "loglevel": "critical",
            "graceful_timeout": 3,  # a worker that is just starting misses the signal to stop
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self):
        for name, value in self._settings.items():
            if name in self.cfg.settings:  # older gunicorns know fewer settings
                self.cfg.set(name, value)

    def load(self):
        django, journal = get_wsgi_application(), Journal(self._journal)

        def application(environ, start_response):
            response = django({**environ, JOURNAL: journal}, start_response)
            try:
                yield from response
            finally:
                time.sleep(random.uniform(0, LINGERING))
                response.close()  # this writes the batch
                settle(journal, next(requests))

        return application
