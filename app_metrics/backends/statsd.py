"""Send batches to a statsd server over UDP, several lines per datagram.

The client is Datadog's: no other maintained one supports tags and fills datagrams. Its threads, aggregation and
telemetry are turned off.
"""

import socket
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from datadog.dogstatsd.base import DogStatsd
from django.core.checks import CheckMessage

from ..conf import settings, usable
from ..core.batch import Batch
from ..core.dropped import NOT_EXPORTED, drop
from ..core.labels import decode_labels
from ..core.numbers import EXACT, Number, plain
from ..core.setting_rules import check_setting, required
from ..core.summary import COUNTER, DISTRIBUTION, GAUGE, UNIQUE, Summary
from ..core.uniques import EXACT as EXACT_UNIQUES
from .export import Exporter, Series, numbers_of

DEFAULT_PORT = 8125
# Seconds that the first batch waits for the server's address. Later ones do not wait.
PATIENCE = 0.25


class MetricsBackend(Exporter):
    """The server confirms nothing, so nothing is sent twice."""

    def __init__(self) -> None:
        super().__init__()
        self._client: DogStatsd | None = None
        self._lookup: Lookup | None = None

    def write(self, batch: Batch) -> None:
        """Send a batch. Raises OSError while the server's address is unknown, but never after a line was sent."""
        tagged = bool(settings.APP_METRICS_STATSD_TAGS)
        self._client = self._client or self._connected(tagged)
        with self._client as client:
            for series, summary in self.series(batch, labelled=tagged).items():
                _send(client, series, summary, tagged)

    def check(self) -> Sequence[CheckMessage]:
        mistake = check_setting("STATSD_URL")
        return [*([mistake.as_check()] if mistake else []), *super().check()]

    def _connected(self, tagged: bool) -> DogStatsd:
        host, port = _server()
        self._lookup = self._lookup or Lookup(host, port)
        client = DogStatsd(
            host=self._lookup.address(),
            port=port,
            namespace=usable("STATSD_PREFIX").strip(".") or None,
            # Send nothing about the client itself.
            disable_telemetry=True,
            origin_detection_enabled=False,
        )
        if not tagged:
            client.constant_tags = []  # drops tags from Datadog's environment variables
        return client


class Lookup:
    """The address of a host, looked up once, and on a thread, because a name server may take many seconds."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port
        self._found = ""
        self._problem = "the name server has not answered yet"
        self._thread = Thread()

    def address(self) -> str:
        """Return the address. Raises OSError while it is unknown; the first caller waits up to 0.25 seconds for it."""
        if not self._found and not self._thread.is_alive():  # also after a fork, where the thread does not exist
            self._thread = Thread(target=self._look, daemon=True)
            self._thread.start()
            self._thread.join(PATIENCE)
        if not self._found:
            raise OSError(f"The address of the statsd server {self._where[0]!r} is unknown: {self._problem}")
        return self._found

    def _look(self) -> None:
        try:
            found = socket.getaddrinfo(*self._where, type=socket.SOCK_DGRAM)
        except Exception as error:  # an impossible name raises various types
            self._problem = str(error)
        else:
            # Prefer IPv4: most servers listen on 0.0.0.0 only.
            self._found = str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])


def _server() -> tuple[str, int]:
    """Return host and port. Raises ImproperlyConfigured."""
    parts = urlsplit(required("STATSD_URL"))
    return parts.hostname or "", parts.port or DEFAULT_PORT


def _send(client: DogStatsd, series: Series, summary: Summary, tagged: bool) -> None:
    tags = [f"{name}:{value}" for name, value in decode_labels(series.labels).items()]
    if series.kind == COUNTER:
        client.increment(series.slug, _text(summary.total), tags)
    elif series.kind == GAUGE:
        if summary.last < 0:  # most servers read a sign as "add this", so start from 0
            client.gauge(series.slug, 0, tags)
        client.gauge(series.slug, _text(summary.last), tags)
    elif series.kind == DISTRIBUTION:
        # A server without tags is no DogStatsD, and knows no other type for many numbers than that of timings.
        send = client.distribution if tagged else client.timing
        for value in numbers_of(series.slug, summary):
            send(series.slug, _text(value), tags)
    elif series.kind == UNIQUE:
        for text in _hashes(series.slug, summary):
            client.set(series.slug, text, tags)
    else:
        for seconds in numbers_of(series.slug, summary):
            client.timing(series.slug, _text(EXACT.multiply(seconds, 1_000)), tags)


def _hashes(slug: str, summary: Summary) -> Iterator[str]:
    """Yield the hashes of a unique count in hexadecimal digits; if they are not kept, its events count as dropped."""
    kept = summary.uniques.kept if summary.uniques else ()
    if not isinstance(kept, tuple):
        cause = f"a batch holds more than {EXACT_UNIQUES} different values of {slug}, whose hashes are not kept"
        return drop(NOT_EXPORTED, cause, summary.count)
    yield from (f"{each:016x}" for each in kept)


def _text(number: Number) -> Any:
    """Return all digits of a number, which a float would lose or write with an exponent."""
    return plain(number)
