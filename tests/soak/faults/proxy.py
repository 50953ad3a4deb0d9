"""A TCP proxy in front of a server's socket that fails as networks and servers do."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

ADDRESS = "127.0.0.1"


class Proxy:
    """Forward what arrives on a local port, until told otherwise; `forward` resumes.

    Each connection has one thread per direction. All methods may be called while connections are open.
    """

    def __init__(self, server: str | tuple[str, int]) -> None:
        self._server = server
        self._family = socket.AF_UNIX if isinstance(server, str) else socket.AF_INET
        self._flowing = threading.Event()
        self._silent = False
        self._losing: _Losing | None = None
        self._links: set[_Link] = set()
        self._fillers: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        # Bound but not listening: it refuses connections, and keeps the port reserved.
        self._reserve = _bound(0)
        self.port: int = self._reserve.getsockname()[1]
        self.forward()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def lost_replies(self) -> int:
        return self._losing.lost if self._losing else 0

    def forward(self) -> None:
        """Forward everything, including what was held back while frozen."""
        self._losing, self._silent = None, False
        self._stop_listening()
        self._listener = _bound(self.port)
        self._listener.listen()
        self._accepting = threading.Thread(target=self._accept, args=[self._listener], daemon=True)
        self._accepting.start()
        self._flowing.set()

    def refuse(self) -> None:
        """Break open connections, and refuse new ones."""
        self._stop_listening()
        self._break()

    def be_silent(self) -> None:
        """Break open connections; accept new ones and never answer."""
        self._silent = True
        self._break()

    def vanish(self) -> None:
        """Break open connections; drop connection attempts, as an unroutable address does."""
        self._stop_listening()
        self._listener = _bound(self.port)
        self._listener.listen(0)  # once this queue is full, the kernel drops further connection attempts
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((ADDRESS, self.port))
            self._fillers.append(filler)
        self._break()

    def freeze(self) -> None:
        """Forward nothing on open and new connections, and break none."""
        self._flowing.clear()

    def lose_replies(self, statement: bytes, *, every: int, most: int) -> None:
        """Break the connection instead of forwarding the reply to every n-th statement that matches a pattern."""
        self._losing = _Losing(re.compile(statement), every, most)

    def close(self) -> None:
        self._stop_listening()
        self._reserve.close()
        self._break()
        self._flowing.set()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
            self._listener.close()
            self._listener = None
        if self._accepting is not None:
            self._accepting.join()  # connections it accepted are then among the links
            self._accepting = None
        while self._fillers:
            self._fillers.pop().close()

    def _break(self) -> None:
        for link in list(self._links):
            link.close()
            self._links.discard(link)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                self._connect(_Link(listener.accept()[0], socket.socket(self._family)))

    def _connect(self, link: "_Link") -> None:
        self._links.add(link)
        if self._silent:
            return
        try:
            link.server.connect(self._server)
        except OSError:  # the server is down
            link.close()
            return
        for pump in (self._ask, self._answer):
            threading.Thread(target=self._pump, args=[pump, link], daemon=True).start()

    def _pump(self, pump: "Callable[[_Link], bool]", link: "_Link") -> None:
        with suppress(OSError):
            while pump(link):
                pass
        link.close()
        self._links.discard(link)

    def _ask(self, link: "_Link") -> bool:
        data = link.client.recv(65536)
        self._flowing.wait()
        if self._losing and self._losing.takes(data):
            link.loses = self._losing
        link.server.sendall(data)
        return bool(data)

    def _answer(self, link: "_Link") -> bool:
        data = link.server.recv(65536)
        self._flowing.wait()
        if link.loses:
            link.loses.lost += 1
            return False
        link.client.sendall(data)
        return bool(data)


class _Losing:
    """Which statements lose their reply, how many at most, and how many did."""

    def __init__(self, statement: re.Pattern[bytes], every: int, most: int) -> None:
        self._statement = statement
        self._every = every
        self._most = most
        self._seen = 0
        self.lost = 0

    def takes(self, data: bytes) -> bool:
        if not self._statement.search(data):
            return False
        self._seen += 1
        return self._seen % self._every == 0 and self._seen <= self._every * self._most


@dataclass(eq=False)
class _Link:
    client: socket.socket
    server: socket.socket
    loses: _Losing | None = None

    def close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the reading threads
            end.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((ADDRESS, port))
    return bound
