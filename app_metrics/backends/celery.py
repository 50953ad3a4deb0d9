"""Publish every batch as a Celery message; the project's workers write it to the item log."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from celery import current_app
from celery.app import default_app
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from ..conf import settings, timeout
from ..core.batch import Batch
from ..core.logs import log
from ..core.plain_text import brief
from ..core.serialization import encode_batch
from ..storage.connections import closed_as_before, commits_at_once
from ..storage.ledger import write_once
from ..transport import base
from ..transport.circuit_breaker import Breaker
from .celery_publisher import Publisher, Publishers, connection_of

# The name of the task, for `task_routes`.
WRITE_BATCH = "app_metrics.tasks.write_batch"


class MetricsBackend(base.MetricsBackend):
    feeds_totals = True

    def __init__(self) -> None:
        self._breaker = Breaker()
        self._publishers = Publishers()
        if default_app:  # otherwise `current_app` would create one before the project does
            _import_ahead(current_app)

    def write(self, batch: Batch) -> None:
        """Publish a batch; if that fails or times out, write it to the database.

        It is written under the same id, so that it does not count twice if the message was published after all. Raises
        database errors.
        """
        if not self._published(batch):
            with closed_as_before(connections[settings.APP_METRICS_DATABASE]):
                write_once(batch, tries=1)  # no retries, because a request is waiting and the caller retries later

    def is_durable(self) -> bool:
        return commits_at_once(connections[settings.APP_METRICS_DATABASE])

    def check(self) -> Sequence[CheckMessage]:
        conf = current_app.conf
        if not (conf.broker_write_url or conf.broker_url):
            message, hint = (
                "Celery has no broker.",
                "Set broker_url in your project's Celery app, and import that app when Django starts.",
            )
        elif missing := _missing_package():
            message = f"Celery lacks the package for its broker: {missing}."
            hint = 'Install it with an extra of Celery; for Redis, run: pip install "celery[redis]"'
        elif mistake := _bad_address():
            message, hint = "Celery's broker has no valid address.", mistake
        elif not {"json", "application/json"} & set(conf.accept_content):
            message, hint = "Celery's workers refuse JSON.", 'Add "json" to accept_content.'
        else:
            return ()
        return [Error(f"{message} The batches of app_metrics cannot be published.", hint=hint, id="app_metrics.E022")]

    def _published(self, batch: Batch) -> bool:
        if current_app.conf.task_always_eager or not self._breaker.allows():
            return False
        started = time.monotonic()
        try:
            self._publish(batch)
        except Exception as error:
            self._breaker.failed()
            text = "Could not publish metrics batch %s; writing it to the database: %s"
            log(logging.WARNING, text, batch.id, brief(error))
            return False
        if time.monotonic() - started > timeout():
            self._breaker.failed()  # a slow broker costs requests as much as one that is down
        else:
            self._breaker.succeeded()
        return True

    def _publish(self, batch: Batch) -> None:
        # Not with send_task(), which sends signals: a receiver that calls metric() would cause a batch for every batch.
        app, arguments = current_app, (encode_batch(batch),)
        message = app.amqp.create_task_message(
            str(batch.id), WRITE_BATCH, arguments, ignore_result=True, argsrepr="('…',)"
        )
        with self._publishers.lent(app) as publisher:
            publisher.publish(message.body, headers=message.headers, **message.properties, **_address(app, arguments))


def _import_ahead(app: Any) -> None:
    """Import what publishing needs, so that no request waits for it. Connects to nothing."""
    with suppress(Exception):  # the first write raises it again
        _address(app, ("",))
        Publisher(app)


def _bad_address() -> str:
    try:
        connection_of(current_app)
    except ImproperlyConfigured as error:
        return str(error)
    return ""


def _missing_package() -> str:
    """Return the error about a package that this kind of broker needs; "" if none is missing. Connects to nothing."""
    try:
        connection_of(current_app).create_transport()
    except ImportError as error:
        return brief(error, show=str)
    except ImproperlyConfigured:  # `_bad_address` says so
        pass
    return ""


def _address(app: Any, arguments: tuple[str]) -> dict[str, Any]:
    """Return where the project's routes send the task: directly to a queue, or to an exchange."""
    route = app.amqp.router.route({}, WRITE_BATCH, arguments, {})
    if queue := route.get("queue"):
        return {"exchange": "", "routing_key": queue.name, "declare": [queue]}
    return {"exchange": route["exchange"], "routing_key": route["routing_key"]}
