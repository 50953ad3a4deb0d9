"""The proxy treats connections as its methods promise."""

import socket
import socketserver
import threading

import pytest

from tests.soak.faults.proxy import ADDRESS, Proxy

PATIENCE = 0.3


class Echo(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    class RequestHandlerClass(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.server.heard.append(line)
                self.wfile.write(line)

    def __init__(self, path):
        super().__init__(str(path), self.RequestHandlerClass)
        self.heard = []


@pytest.fixture
def echo(tmp_path):
    with Echo(tmp_path / "socket") as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(echo):
    with Proxy(echo.server_address) as proxy:
        yield proxy


def connect(proxy, timeout=60):
    return socket.create_connection((ADDRESS, proxy.port), timeout)


def ask(client, line=b"hello\n"):
    client.sendall(line)
    return client.recv(100)


def is_broken(client):
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_the_proxy_forwards(proxy):
    with connect(proxy) as client:
        assert ask(client) == b"hello\n"


def test_the_proxy_refuses(proxy):
    with connect(proxy) as client:
        ask(client)
        proxy.refuse()
        assert is_broken(client)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_a_silent_proxy_accepts_but_does_not_answer(proxy):
    proxy.be_silent()
    with connect(proxy, PATIENCE) as client, pytest.raises(TimeoutError):
        ask(client)


def test_a_vanished_proxy_does_not_even_refuse(proxy):
    proxy.vanish()
    with pytest.raises(TimeoutError):
        connect(proxy, PATIENCE)


def test_a_frozen_proxy_forwards_pending_bytes_later(proxy, echo):
    with connect(proxy) as client:
        ask(client)
        proxy.freeze()
        client.settimeout(PATIENCE)
        with pytest.raises(TimeoutError):
            ask(client, b"late\n")
        assert echo.heard == [b"hello\n"]
        client.settimeout(10)
        proxy.forward()
        assert client.recv(100) == b"late\n"


def test_the_proxy_loses_the_reply_but_not_the_request(proxy, echo):
    proxy.lose_replies(b"^INSERT", every=2, most=1)
    with connect(proxy) as client:
        assert [ask(client, line) for line in (b"INSERT 1\n", b"SELECT\n")] == [b"INSERT 1\n", b"SELECT\n"]
        client.sendall(b"INSERT 2\n")
        assert is_broken(client)
    assert echo.heard == [b"INSERT 1\n", b"SELECT\n", b"INSERT 2\n"]
    assert proxy.lost_replies == 1


@pytest.mark.parametrize("fault", ["refuse", "be_silent", "vanish", "freeze"])
def test_the_proxy_recovers(proxy, fault):
    getattr(proxy, fault)()
    proxy.forward()
    with connect(proxy) as client:
        assert ask(client) == b"hello\n"
