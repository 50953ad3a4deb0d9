"""Run private servers for as long as somebody holds the other end of standard input.

``python -m tests.supervisor postgresql mariadb`` starts the servers at the same time and prints one line of JSON:
``{"directory": path, "servers": {name: coordinates}, "missing": {name: reason}}``. Standard input closes however
the parent ends, also by SIGKILL; then the servers are stopped and their files removed.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .servers import SERVERS, Server, Unavailable


def main(names: Sequence[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with tempfile.TemporaryDirectory(prefix="app-metrics-", ignore_cleanup_errors=True) as parent:
        os.chmod(parent, 0o755)  # the servers' own accounts must be able to enter
        servers = [SERVERS[name](Path(parent)) for name in names]
        try:
            print(json.dumps({"directory": parent, **start(servers)}), flush=True)
            sys.stdin.read()
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


def stop(servers: Sequence[Server]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda server: server.stop(), servers))


if __name__ == "__main__":
    main(sys.argv[1:])
