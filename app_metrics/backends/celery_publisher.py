"""Private connections to Celery's broker: short timeouts, no retries, one user at a time.

Celery's own pool has settings that suit tasks: it waits for many seconds, or forever, while a broker is down.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from kombu import Producer

from ..conf import timeout
from ..core.plain_text import has_cut_address

BAD_URL = (
    "The broker_url of Celery cannot be read. "
    'Encode "/", "?", "#" and "@" in its user and password: "%2F", "%3F", "%23" and "%40".'
)
# Each step gets this part of the timeout: connecting, and publishing with its confirmation.
STEPS = 2


class Publisher:
    """One connection, opened at its first use and reopened after a failure, to the next host if there are several."""

    def __init__(self, app: Any) -> None:
        self._seconds = seconds = timeout() / STEPS
        self._connection = connection_of(app, connect_timeout=seconds)
        kind = self._connection.transport.driver_type
        self._connection.transport_options |= TIMEOUTS.get(kind, _none)(seconds)
        self._producer: Producer | None = None

    def publish(self, body: Any, **options: Any) -> None:
        """Publish a message as JSON and wait for the confirmation. Raises what the broker's client raises."""
        if self._producer is None:
            self._producer = self._connect()
        waits = {"timeout": self._seconds, "confirm_timeout": self._seconds}
        # Without `mandatory` an AMQP broker confirms and drops a message that reaches no queue.
        self._producer.publish(body, serializer="json", retry=False, mandatory=True, **waits, **options)

    def disconnect(self) -> None:
        """Close the connection without telling the broker, which may not answer."""
        self._producer = None
        self._connection.collect()
        self._connection.maybe_switch_next()

    def _connect(self) -> Producer:
        raw = self._connection.ensure_connection(max_retries=0).connection
        if self._connection.transport.driver_type == "amqp":
            # The client's own read timeout does not apply within a frame.
            raw.transport.sock.settimeout(self._seconds)
        return Producer(self._connection.channel())


def connection_of(app: Any, **options: Any) -> Any:
    """Return a new connection, which is not opened yet. Raises ImproperlyConfigured for a bad address."""
    addresses = app.conf.broker_write_url or app.conf.broker_url or ()
    if any(map(has_cut_address, [addresses] if isinstance(addresses, str) else addresses)):
        raise ImproperlyConfigured(BAD_URL)
    try:
        return app.connection_for_write(**options)
    except (ValueError, KeyError):  # a bad port, an unknown transport
        raise ImproperlyConfigured(BAD_URL) from None  # the error may quote a part of the password


class Publishers:
    """A pool of one connection for each thread that publishes at the same time; a forked process opens its own."""

    def __init__(self) -> None:
        self._idle: deque[Publisher] = deque()
        self._owner = os.getpid()

    @contextmanager
    def lent(self, app: Any) -> Iterator[Publisher]:
        """Lend a connection; a failure closes it, and the idle ones as well."""
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
            # Drop the parent's connections without closing them, which the broker would notice.
            self._idle, self._owner = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _amqp(seconds: float) -> dict[str, Any]:
    # Without confirmations a broker that is short of memory or disk drops messages silently.
    return {"confirm_publish": True, "read_timeout": seconds, "write_timeout": seconds}


def _redis(seconds: float) -> dict[str, Any]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry_on_timeout": False}


def _none(seconds: float) -> dict[str, Any]:
    return {}


TIMEOUTS = {"amqp": _amqp, "redis": _redis}
