"""Private servers, each in its own directory; they listen on Unix sockets, RabbitMQ on ports of 127.0.0.1."""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

STARTUP_SECONDS = 240
STOP_SECONDS = 15


class Unavailable(Exception):
    """A server is unavailable on this machine; the message says why."""


def runs(pid: str) -> bool:
    """Return whether a process runs; a zombie does not, and holds no resources."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Server:
    """One server in one directory. Subclasses define its program and coordinates."""

    name: str
    program: str
    driver: str | None = None
    account: str  # runs the server if we are root
    stop_signal = signal.SIGTERM

    def __init__(self, parent: Path, *, durable: bool = False) -> None:
        """Create a directory for the server; with `durable`, committed data survives a kill, which is slow."""
        self.directory = parent / self.name
        self.log = parent / f"{self.name}.log"
        self.durable = durable
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
        """Return what a client needs, with the key names of Django's DATABASES. Mandatory."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return extra environment variables for the server. Defaults to none."""
        return {}

    @classmethod
    def require_program(cls) -> None:
        """Raise Unavailable if the program is not installed."""
        find(cls.program)

    @classmethod
    def is_installed(cls) -> bool:
        try:
            cls.require_program()
        except Unavailable:
            return False
        return True

    def start(self) -> dict[str, str]:
        self.require_program()
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

    def kill(self) -> None:
        """Kill the server and its children with SIGKILL, like the kernel when memory runs out."""
        assert self.process is not None
        pid = self.process.pid
        self.process.send_signal(signal.SIGSTOP)  # so that it forks no more
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        # PostgreSQL does not restart while a child still holds the shared memory.
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(runs, children)) and time.monotonic() < deadline:
            time.sleep(0.01)

    def restart(self) -> None:
        """Restart a killed server on the same data."""
        self.process = self.popen(*self.command())
        self.wait_until_ready()

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
        """Start a program that writes to the log; never as root, which PostgreSQL refuses."""
        options: dict[str, Any] = {"cwd": self.directory, "stdin": subprocess.DEVNULL}
        options["env"] = {**os.environ, **self.environment()}
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
    stop_signal = signal.SIGINT  # fast shutdown

    def initialise(self) -> None:
        options = ["--no-sync", "--auth=trust", "--username=app_metrics", "--encoding=UTF8", "--locale=C"]
        self.run(find("initdb"), *options, f"--pgdata={self.directory}/data")

    def command(self) -> Sequence[str]:
        switch = "on" if self.durable else "off"
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "fsync": switch,
            "synchronous_commit": switch,
            "full_page_writes": switch,
            # Under ASGI, Django holds the connection of a visitor who left until a garbage collection: a test has 67.
            "max_connections": 400,
            # JIT compilation makes short statements over few rows 12 to 17 times slower.
            "jit": "off",
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
    admin = "mariadb-admin"
    extra_options: Sequence[str] = ()
    driver = "MySQLdb"
    account = "mysql"

    def environment(self) -> dict[str, str]:
        # A starting server deletes all temporary tables in this directory, even those of another running server.
        return {"TMPDIR": str(self.directory)}

    def initialise(self) -> None:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--loose-innodb-flush-method=nosync"]
        self.run(find("mariadb-install-db"), *self.places(), *options)

    def places(self) -> Sequence[str]:
        """Return where the data is, and the files that belong to the program, which need not be the system's."""
        installed = Path(find(self.program)).resolve().parents[1]
        return ["--no-defaults", f"--datadir={self.directory}/data", f"--basedir={installed}"]

    def command(self) -> Sequence[str]:
        return [
            find(self.program),
            *self.places(),
            *self.extra_options,
            f"--socket={self.directory}/socket",
            f"--pid-file={self.directory}/pid",
            "--skip-networking",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--max-connections=400",
            f"--innodb-flush-log-at-trx-commit={int(self.durable)}",
            f"--loose-innodb-flush-method={'fsync' if self.durable else 'nosync'}",
        ]

    def ping(self) -> Sequence[str]:
        return [find(self.admin), "--no-defaults", "--user=root", f"--socket={self.directory}/socket", "ping"]

    def coordinates(self) -> dict[str, str]:
        return {"HOST": f"{self.directory}/socket", "PORT": "", "USER": "root", "NAME": "mysql"}


class MySQL(MariaDB):
    name = "mysql"
    program = "mysqld"
    admin = "mysqladmin"
    extra_options = ("--secure-file-priv=NULL", "--mysqlx=OFF")

    @classmethod
    def require_program(cls) -> None:
        if Path(find(cls.program)).resolve().name != cls.program:  # MariaDB has a link of this name
            raise Unavailable(f"the program {cls.program} is MariaDB's")

    def initialise(self) -> None:
        self.run(find(self.program), *self.places(), *self.extra_options, "--initialize-insecure")


class Redis(Server):
    name = "redis"
    program = "redis-server"
    account = "redis"

    def command(self) -> Sequence[str]:
        socket = ["--unixsocket", f"{self.directory}/socket", "--unixsocketperm", "777"]
        log = ["--appendonly", "yes", "--appendfsync", "always"] if self.durable else ["--appendonly", "no"]
        return [find("redis-server"), "--port", "0", *socket, "--save", "", *log]

    def ping(self) -> Sequence[str]:
        return [find("redis-cli"), "-s", f"{self.directory}/socket", "ping"]

    def coordinates(self) -> dict[str, str]:
        return {"HOST": f"{self.directory}/socket", "URL": f"unix://{self.directory}/socket"}


class RabbitMQ(Server):
    """A separate node: its name, cookie, ports and Erlang node registry differ from the machine's."""

    name = "rabbitmq"
    program = "rabbitmq-server"
    account = "rabbitmq"
    driver = "amqp"

    def __init__(self, parent: Path, *, durable: bool = False) -> None:
        """Ignore `durable`: what survives is up to queues and messages."""
        super().__init__(parent, durable=durable)
        self.port, self.distribution_port, self.register_port = free_ports(3)
        self.register: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        here = str(self.directory)
        return {
            "HOME": here,  # Erlang keeps its cookie there
            "ERL_EPMD_PORT": str(self.register_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "app-metrics@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_BASE": here,
            "RABBITMQ_MNESIA_BASE": f"{here}/data",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{here}/config",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/none",
        }

    def initialise(self) -> None:
        (self.directory / "plugins").write_text("[].")
        # A full disk on this machine must not fail the tests.
        (self.directory / "config.conf").write_text("disk_free_limit.absolute = 1MB\n")
        self.register = self.popen(find("epmd"), "-port", str(self.register_port), "-address", "127.0.0.1")

    def command(self) -> Sequence[str]:
        return [rabbitmq_program("rabbitmq-server")]

    def ping(self) -> Sequence[str]:
        return [sys.executable, "-c", GREETING, str(self.port)]

    def coordinates(self) -> dict[str, str]:
        environment = {key: value for key, value in self.environment().items() if key in CONTROL}
        return {"HOST": "127.0.0.1", "PORT": str(self.port), "USER": self.user(), **environment}

    def stop(self) -> None:
        super().stop()
        if self.register is not None:
            self.register.kill()
            self.register.wait()


# RabbitMQ's own command for this takes seconds to start.
GREETING = """
import socket, sys
broker = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
broker.sendall(b"AMQP\\0\\0\\x09\\1")
broker.recv(1)[0]
"""
# The variables that `rabbitmqctl` needs to find a node.
CONTROL = ("HOME", "ERL_EPMD_PORT", "RABBITMQ_NODENAME")

SERVERS = {server.name: server for server in (PostgreSQL, MariaDB, MySQL, Redis)}
# No run requires them: Debian's stable release lacks them. A run of everything names them if they are missing.
OPTIONAL = {MySQL.name}
# Started only when a test demands them: they take seconds and memory that most runs do not need.
ON_DEMAND = {server.name: server for server in (RabbitMQ,)}


def find(program: str) -> str:
    """Return the path of a program; Debian keeps some of them outside PATH."""
    debian = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=version, reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", *debian])
    found = shutil.which(program, path=path)
    if not found:
        raise Unavailable(f"the program {program} is not installed")
    return found


def rabbitmq_program(name: str) -> str:
    """Return the path of a RabbitMQ program; Debian's wrappers on PATH always use the system's directories."""
    debian = Path("/usr/lib/rabbitmq/bin", name)
    return str(debian) if debian.exists() else find(name)


def free_ports(count: int) -> list[int]:
    """Return ports that are free at the moment."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in listening]
    finally:
        for each in listening:
            each.close()


def version(path: str) -> float:
    return float(Path(path).parent.name)


def require_driver(module: str) -> None:
    try:
        __import__(module)
    except ImportError as error:
        raise Unavailable(f"its Python driver cannot be imported: {error}") from error
