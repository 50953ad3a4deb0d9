"""Brokers that do not answer, and a proxy that can freeze at any time."""

import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager


@contextmanager
def refusing() -> Iterator[int]:
    """Yield a port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield port


class Silent:
    """Accept every connection, count them, and never answer."""

    def __init__(self) -> None:
        self.accepted: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self.accepted.append(self._server.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in self.accepted:
            each.close()


@contextmanager
def silent() -> Iterator[int]:
    with closing(Silent()) as server:
        yield server.port


@contextmanager
def unroutable() -> Iterator[int]:
    """Yield a port that drops connection attempts: its accept queue is full and never emptied."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


class Proxy:
    """Forward between a port of its own and a broker; when frozen, keep connections open and forward nothing.

    It forwards at most `limit` bytes of the broker's answers per connection. `answered` is the largest number of bytes
    that one connection received.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self.connections = 0
        self.answered = 0
        self.limit = sys.maxsize
        self._connect = connect
        self._flowing = threading.Event()
        self._flowing.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self.thaw()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                ours = self._server.accept()[0]
            except OSError:
                return
            self.connections += 1
            theirs = self._connect()
            for source, target in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._forward, args=(source, target, source is theirs), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        left = self.limit if is_answer else sys.maxsize
        seen = 0
        try:
            while select.select([source], [], []) and self._flowing.wait() and (data := source.recv(65536)):
                target.sendall(data[:left])
                left, seen = max(0, left - len(data)), seen + len(data)
                if is_answer:
                    self.answered = max(self.answered, seen)
        except (OSError, ValueError):  # the other direction has closed both sockets
            pass
        finally:
            for end in (source, target):
                end.close()
