"""Run private servers for as long as somebody holds the other end of standard input.

``python -m tests.support.supervisor postgresql mariadb`` starts the servers at the same time and prints one line of
JSON: ``{"directory": path, "servers": {name: coordinates}, "missing": {name: reason}}``. Standard input closes however
the parent ends, also by SIGKILL; then the servers are stopped and their files removed. Meanwhile a line `kill NAME` or
`restart NAME` has that done to a server, and is answered with a line once it is. `--durable` makes the servers keep
through a kill what they committed.

Other servers start when somebody asks for them: whoever connects to the socket ``on-demand`` in that directory and
sends a name is sent coordinates, or a reason, and all who ask get the same server.
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
        os.chmod(parent, 0o755)  # the servers' own accounts must be able to enter
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
    """Start servers for those who ask by the socket, and add them to the others."""
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
        with starting:  # whoever asks now is too late
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
