"""Private PostgreSQL, MariaDB and Redis servers, each in its own directory behind a Unix socket."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STARTUP_SECONDS = 90
STOP_SECONDS = 15


class Unavailable(Exception):
    """A server cannot be had here; the message says why."""


class Server:
    """One server in one directory. Subclasses name their programs and their coordinates."""

    name: str
    program: str
    driver: str | None = None
    account: str  # what runs the server when we are root
    stop_signal = signal.SIGTERM

    def __init__(self, parent: Path) -> None:
        self.directory = parent / self.name
        self.log = parent / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        """Create the data directory. Defaults to doing nothing."""

    def command(self) -> Sequence[str]:
        """Return the command that runs the server in the foreground. Mandatory."""
        raise NotImplementedError

    def ping(self) -> Sequence[str]:
        """Return a command that succeeds once the server answers. Mandatory."""
        raise NotImplementedError

    def coordinates(self) -> dict[str, str]:
        """Return what a client needs, named like the keys of Django's DATABASES. Mandatory."""
        raise NotImplementedError

    def start(self) -> dict[str, str]:
        find(self.program)
        if self.driver:
            require_driver(self.driver)
        self.directory.mkdir()
        self.log.touch()
        if os.geteuid() == 0:
            shutil.chown(self.directory, self.user())
        self.initialise()
        self.process = self.popen(*self.command())
        self.wait_until_ready()
        return self.coordinates()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + STARTUP_SECONDS
        while subprocess.run(self.ping(), capture_output=True, check=False).returncode:
            if self.process.poll() is not None:
                raise Unavailable(f"{self.program} ended at once: {self.last_words()}")
            if time.monotonic() > deadline:
                raise Unavailable(f"{self.program} did not answer in {STARTUP_SECONDS} s: {self.last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def run(self, *command: str) -> None:
        if self.popen(*command).wait():
            raise Unavailable(f"{command[0]} failed: {self.last_words()}")

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program that writes to the log, and never as root: PostgreSQL refuses that."""
        options: dict[str, Any] = {"cwd": self.directory, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:
            group = pwd.getpwnam(self.user()).pw_gid
            options |= {"user": self.user(), "group": group, "extra_groups": []}
        with self.log.open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **options)

    def user(self) -> str:
        names = {entry.pw_name for entry in pwd.getpwall()}
        return self.account if self.account in names else "nobody"

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join([line for line in lines if line.strip()][-3:])


class PostgreSQL(Server):
    name = "postgresql"
    program = "postgres"
    driver = "psycopg"
    account = "postgres"
    stop_signal = signal.SIGINT  # the fast shutdown

    def initialise(self) -> None:
        options = ["--no-sync", "--auth=trust", "--username=app_metrics", "--encoding=UTF8", "--locale=C"]
        self.run(find("initdb"), *options, f"--pgdata={self.directory}/data")

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 100,
            "timezone": "UTC",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [find("postgres"), "-D", f"{self.directory}/data", *options]

    def ping(self) -> Sequence[str]:
        return [find("pg_isready"), "--quiet", f"--host={self.directory}"]

    def coordinates(self) -> dict[str, str]:
        return {"HOST": str(self.directory), "PORT": "", "USER": "app_metrics", "NAME": "postgres"}


class MariaDB(Server):
    name = "mariadb"
    program = "mariadbd"
    driver = "MySQLdb"
    account = "mysql"

    def initialise(self) -> None:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        data = f"--datadir={self.directory}/data"
        self.run(find("mariadb-install-db"), "--no-defaults", *options, data, "--loose-innodb-flush-method=nosync")

    def command(self) -> Sequence[str]:
        return [
            find("mariadbd"),
            "--no-defaults",
            f"--datadir={self.directory}/data",
            f"--socket={self.directory}/socket",
            f"--pid-file={self.directory}/pid",
            "--skip-networking",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--max-connections=100",
            "--innodb-flush-log-at-trx-commit=0",
            "--loose-innodb-flush-method=nosync",
        ]

    def ping(self) -> Sequence[str]:
        return [find("mariadb-admin"), "--no-defaults", "--user=root", f"--socket={self.directory}/socket", "ping"]

    def coordinates(self) -> dict[str, str]:
        return {"HOST": f"{self.directory}/socket", "PORT": "", "USER": "root", "NAME": "mysql"}


class Redis(Server):
    name = "redis"
    program = "redis-server"
    account = "redis"

    def command(self) -> Sequence[str]:
        socket = ["--unixsocket", f"{self.directory}/socket", "--unixsocketperm", "777"]
        return [find("redis-server"), "--port", "0", *socket, "--save", "", "--appendonly", "no"]

    def ping(self) -> Sequence[str]:
        return [find("redis-cli"), "-s", f"{self.directory}/socket", "ping"]

    def coordinates(self) -> dict[str, str]:
        return {"HOST": f"{self.directory}/socket", "URL": f"unix://{self.directory}/socket"}


SERVERS = {server.name: server for server in (PostgreSQL, MariaDB, Redis)}


def find(program: str) -> str:
    """Return the path of a program; Debian keeps some of them where PATH does not look."""
    debian = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=version, reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", *debian])
    found = shutil.which(program, path=path)
    if not found:
        raise Unavailable(f"the program {program} is not installed")
    return found


def version(path: str) -> float:
    return float(Path(path).parent.name)


def require_driver(module: str) -> None:
    try:
        __import__(module)
    except ImportError as error:
        raise Unavailable(f"its Python driver cannot be imported: {error}") from error
