"""Run private servers for as long as the parent holds standard input open.

``python -m tests.support.supervisor postgresql mariadb`` starts the servers at the same time and prints one line of
JSON: ``{"directory": path, "servers": {name: coordinates}, "missing": {name: reason}}``. Standard input closes when the
parent ends, even by SIGKILL; then the servers are stopped and their files removed. Until then, the line `kill NAME` or
`restart NAME` kills or restarts a server, and a line of output confirms it. With `--durable`, what the servers
committed survives a kill.

Other servers start on demand: a client connects to the socket ``on-demand`` in that directory, sends a name, and gets
coordinates or a reason; all clients get the same server.
"""

import json
import os
import signal
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import ON_DEMAND, SERVERS, Server, Unavailable

SOCKET = "on-demand"


def main(arguments: Sequence[str]) -> None:
    names = [argument for argument in arguments if argument != "--durable"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with tempfile.TemporaryDirectory(prefix="app-metrics-", ignore_cleanup_errors=True) as parent:
        os.chmod(parent, 0o755)  # the servers' own accounts need access
        kinds = {**SERVERS, **ON_DEMAND}
        servers = [kinds[name](Path(parent), durable="--durable" in arguments) for name in names]
        try:
            with on_demand(Path(parent), servers):
                print(json.dumps({"directory": parent, **start(servers)}), flush=True)
                obey(servers)
        finally:
            stop(servers)


def start(servers: Sequence[Server]) -> dict[str, dict[str, object]]:
    running: dict[str, object] = {}
    missing: dict[str, object] = {}

    def start_one(server: Server) -> None:
        try:
            running[server.name] = server.start()
        except (Unavailable, OSError) as error:
            missing[server.name] = str(error)

    with ThreadPoolExecutor() as pool:
        list(pool.map(start_one, servers))
    return {"servers": running, "missing": missing}


@contextmanager
def on_demand(parent: Path, servers: list[Server]) -> Iterator[None]:
    """Start servers requested through the socket, and add them to the others."""
    answers: dict[str, dict[str, dict[str, object]]] = {}
    starting = threading.Lock()

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            name = self.rfile.readline().decode().strip()
            with starting:
                if name not in answers:
                    server = ON_DEMAND[name](parent)
                    servers.append(server)
                    answers[name] = start([server])
            self.wfile.write(json.dumps(answers[name]).encode())

    with socketserver.ThreadingUnixStreamServer(str(parent / SOCKET), Answer) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield
        with starting:  # later requests are too late
            listener.shutdown()


def obey(servers: Sequence[Server]) -> None:
    named = {server.name: server for server in servers}
    for line in sys.stdin:
        order, name = line.split()
        {"kill": Server.kill, "restart": Server.restart}[order](named[name])
        print(json.dumps(line.strip()), flush=True)


def stop(servers: Sequence[Server]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: server.stop(), servers))


if __name__ == "__main__":
    main(sys.argv[1:])
