"""Private connections to the broker of Celery: short timeouts, no retries, one user at a time.

Celery's own pool is not used: with the settings that suit tasks it waits for seconds, some of them for ever, where a
broker is away.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Producer

from ..conf import timeout

# A first publication connects, and then waits for answers; whatever the broker does, one of the two uses up its time.
STEPS = 2


class Publisher:
    """One connection, made when it is first used and made anew after a failure, then to the next of several hosts."""

    def __init__(self, app: Any) -> None:
        self._seconds = seconds = timeout() / STEPS
        self._connection = app.connection_for_write(connect_timeout=seconds)
        kind = self._connection.transport.driver_type
        self._connection.transport_options |= TIMEOUTS.get(kind, _none)(seconds)
        self._producer: Producer | None = None

    def publish(self, body: Any, **options: Any) -> None:
        """Publish a message as JSON, and wait until the broker has it. Raises whatever the broker's client raises."""
        if self._producer is None:
            self._producer = self._connect()
        waits = {"timeout": self._seconds, "confirm_timeout": self._seconds}
        # Without `mandatory` an AMQP broker drops, and confirms, what no queue takes.
        self._producer.publish(body, serializer="json", retry=False, mandatory=True, **waits, **options)

    def disconnect(self) -> None:
        """Close the connection without a word to the broker, which may not answer."""
        self._producer = None
        self._connection.collect()
        self._connection.maybe_switch_next()

    def _connect(self) -> Producer:
        raw = self._connection.ensure_connection(max_retries=0).connection
        if self._connection.transport.driver_type == "amqp":
            # The client's own read timeout does not end a wait for the rest of a frame.
            raw.transport.sock.settimeout(self._seconds)
        return Producer(self._connection.channel())


class Publishers:
    """As many connections as there are threads that publish at once; a forked process makes its own."""

    def __init__(self) -> None:
        self._idle: deque[Publisher] = deque()
        self._owner = os.getpid()

    @contextmanager
    def lent(self, app: Any) -> Iterator[Publisher]:
        """Lend a connection; after a failure it is closed, and so are those that nobody uses."""
        publisher = self._take() or Publisher(app)
        try:
            yield publisher
        except BaseException:
            publisher.disconnect()
            self._disconnect_idle()
            raise
        finally:
            self._idle.append(publisher)

    def _disconnect_idle(self) -> None:
        while idle := self._take():
            idle.disconnect()

    def _take(self) -> Publisher | None:
        if self._owner != os.getpid():
            # They are the parent's: closing them would say so to the broker.
            self._idle, self._owner = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _amqp(seconds: float) -> dict[str, Any]:
    # Without confirmation a broker that is short of memory or of disk drops messages and says nothing.
    return {"confirm_publish": True, "read_timeout": seconds, "write_timeout": seconds}


def _redis(seconds: float) -> dict[str, Any]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry_on_timeout": False}


def _none(seconds: float) -> dict[str, Any]:
    return {}


TIMEOUTS = {"amqp": _amqp, "redis": _redis}
