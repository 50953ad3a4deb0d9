"""Where the harness's sites record to: one class per backend and database.

The composite backend has no class: it passes each batch to its destinations, each with its own retry queue, and those
are the backends below. Its own tests cover one destination that fails beside another.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.soak.faults.proxy import ADDRESS
from tests.soak.faults.site import Site
from tests.support import services
from tests.support.servers import ON_DEMAND, SERVERS

SETTINGS = {
    # The retry queue must never drop a batch, so that every loss is the backend's fault.
    "APP_METRICS_RETRY_LIMIT": 1_000_000,
    "APP_METRICS_MAX_LABEL_SETS": 1000,
    # The broker of a site or None, whether its database refuses every batch, and by how much its clock is ahead.
    "FAULTS_BROKER": None,
    "FAULTS_REFUSING": False,
    "FAULTS_DAYS_AHEAD": 0,
    "MIDDLEWARE": ["app_metrics.middleware.MetricsMiddleware"],
    "LOGGING": {
        "version": 1,
        "handlers": {"nowhere": {"class": "logging.NullHandler"}},
        "loggers": {"app_metrics": {"handlers": ["nowhere"], "propagate": False}},
    },
}

# A Unix socket, or a host and a port.
Address = str | tuple[str, int]
Coordinates = Mapping[str, Mapping[str, Any]]
# Faults that strike after an item is written.
AGGREGATING = (
    "aggregator killed at every step",
    "aggregators killed at random",
    "late commits",
    "poisoned rows",
)
# A fault that fails no write.
FROZEN = {
    "frozen": "PostgreSQL's client has no read timeout: a write waits until the server goes on, and has not failed then"
}


def published(names: tuple[str, ...]) -> Coordinates:
    """Return the coordinates of running servers; start those that are missing."""
    return {name: services.demand(name) for name in names}


class Destination:
    """A backend and the coordinates of its servers."""

    name: str
    needs: tuple[str, ...] = ()
    # The server that server and network faults strike.
    server: str | None = None
    # Faults that do not apply to it, and why.
    excepted: Mapping[str, str] = {}
    # Whether only `make faults` tries it.
    only_in_long_form = False
    # Whether it recognises a batch that is written again after a lost reply even if the first copy is aggregated.
    has_ledger = False
    # Whether it recognises any batch that is delivered again unchanged, even an acknowledged one.
    recognises_what_was_counted = False
    # Whether it recognises such a batch while the first copy is pending.
    recognises_what_waits = True
    # Whether events recorded in a transaction are rolled back with it.
    writes_in_transaction = True
    # How many batches of a web worker a kill may lose.
    batches_in_flight = 1
    # Whether it spools batches that cannot be written.
    has_spool = False
    # Whether the buffered mode keeps a journal.
    has_journal = False
    # Whether Celery workers move events from the server to the database.
    has_workers = False
    # Whether a message is lost if the worker or the server is killed while the worker takes it.
    loses_what_is_taken = False
    # Whether its client library works in a process forked while another thread used it.
    forks_amid_writes = True
    # Whether events are pending outside the database, and drained into it later.
    is_outside = False
    # Patterns of what a writer sends to the server, and of what a drain or an aggregation sends.
    writing = rb"INSERT INTO app_metrics_item"
    draining: bytes | None = rb"COMMIT"
    # Every how many writes the reply to one is lost.
    writes_per_lost_reply = 5

    def __init__(self, servers: Coordinates) -> None:
        self.servers = servers

    @classmethod
    def missing(cls) -> str | None:
        """Return why this destination is unavailable on this machine."""
        running = [*ON_DEMAND, *(name for name in SERVERS if services.variable(name) in os.environ)]
        absent = [name for name in cls.needs if name in services.missing or name not in running]
        return ", ".join(f"{name}: {services.missing.get(name, 'no server was started')}" for name in absent) or None

    def database(self, directory: Path) -> dict[str, Any]:
        """Return the entry for Django's DATABASES; name it after the directory. Mandatory."""
        raise NotImplementedError

    def settings(self, directory: Path) -> dict[str, Any]:
        return SETTINGS

    def socket(self) -> Address:
        """Return the path of the server's socket, or its host and port. Mandatory if there is a server."""
        raise NotImplementedError

    def through(self, port: int) -> dict[str, Any]:
        """Return overrides for a process that reaches the server through this port. Mandatory if there is a server."""
        raise NotImplementedError


class Sqlite(Destination):
    name = "db, SQLite"
    forks_amid_writes = False  # its mutexes stay locked: https://www.sqlite.org/howtocorrupt.html, section 2.6

    def database(self, directory: Path) -> dict[str, Any]:
        file = {"NAME": str(directory / "site.sqlite3")}
        return {"ENGINE": "django.db.backends.sqlite3", **file, "TEST": file, "OPTIONS": {"timeout": 60}}


class PostgreSQL(Destination):
    name = "db, PostgreSQL"
    needs = ("postgresql",)
    server = "postgresql"
    excepted = FROZEN

    def database(self, directory: Path) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.postgresql",
            **self.servers["postgresql"],
            "NAME": directory.name,
            "TEST": {"NAME": directory.name},
            "OPTIONS": {"connect_timeout": 2},
        }

    def socket(self) -> Address:
        return self.socket_of_database()

    def through(self, port: int) -> dict[str, Any]:
        return self.through_to_database(port)

    def socket_of_database(self) -> str:
        return f"{self.servers['postgresql']['HOST']}/.s.PGSQL.5432"

    def through_to_database(self, port: int) -> dict[str, Any]:
        return {"database": {"HOST": ADDRESS, "PORT": str(port)}}


class MariaDB(Destination):
    name = "db, MariaDB"
    needs = ("mariadb",)
    server = "mariadb"
    # For the client.
    options: Mapping[str, Any] = {"charset": "utf8mb4", "connect_timeout": 1}

    def database(self, directory: Path) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.mysql",
            **self.servers[self.needs[0]],
            "NAME": directory.name,
            "TEST": {"NAME": directory.name, "CHARSET": "utf8mb4", "COLLATION": "utf8mb4_general_ci"},
            "OPTIONS": dict(self.options),
        }

    def socket(self) -> str:
        return str(self.servers[self.needs[0]]["HOST"])

    def through(self, port: int) -> dict[str, Any]:
        return {"database": {"HOST": ADDRESS, "PORT": port, "OPTIONS": {**self.options, "read_timeout": 2}}}


class MySQL(MariaDB):
    name = "db, MySQL"
    needs = ("mysql",)
    server = "mysql"


class MySQLWithSnapshots(MySQL):
    name = "db, MySQL, snapshots"
    options = {**MySQL.options, "isolation_level": "repeatable read"}
    only_in_long_form = True


class Redis(PostgreSQL):
    """Batches go to Redis, and are drained into PostgreSQL; the faults strike Redis."""

    name = "redis"
    needs = ("postgresql", "redis")
    server = "redis"
    has_ledger = is_outside = True
    excepted: Mapping[str, str] = {}
    writes_in_transaction = False
    writing = draining = rb"EVAL"

    def settings(self, directory: Path) -> dict[str, Any]:
        return {
            **SETTINGS,
            "APP_METRICS_BACKEND": "app_metrics.backends.redis",
            "APP_METRICS_REDIS_URL": self.servers["redis"]["URL"],
            "APP_METRICS_REDIS_PREFIX": directory.name,
        }

    def socket(self) -> str:
        return str(self.servers["redis"]["HOST"])

    def through(self, port: int) -> dict[str, Any]:
        return {"options": {"APP_METRICS_REDIS_URL": f"redis://{ADDRESS}:{port}"}}


class CeleryOverRedis(Redis):
    """Batches are messages in Redis, which workers write to PostgreSQL."""

    name = "celery, Redis"
    has_workers = recognises_what_was_counted = loses_what_is_taken = True
    writing = rb"LPUSH"
    draining = None
    excepted = {
        **dict.fromkeys(AGGREGATING, "as with db, whose items the workers write"),
        "Celery workers killed at random": "Celery takes a message from a list in Redis before it notes that it did; "
        "a worker that is killed in between loses it",
    }

    def settings(self, directory: Path) -> dict[str, Any]:
        return {
            **SETTINGS,
            "APP_METRICS_BACKEND": "app_metrics.backends.celery",
            "FAULTS_BROKER": f"redis+socket://{self.socket()}?virtual_host={self._number()}",
            "FAULTS_QUEUE": directory.name,
        }

    def through(self, port: int) -> dict[str, Any]:
        return {"options": {"FAULTS_BROKER": f"redis://{ADDRESS}:{port}/{self._number()}"}}

    @staticmethod
    def _number() -> int:
        """Return the number of a database that no other process of this test run uses."""
        return 4 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4


class CeleryOverRabbitMQ(CeleryOverRedis):
    name = "celery, RabbitMQ"
    excepted = dict.fromkeys(AGGREGATING, "as with db, whose items the workers write")
    needs = ("postgresql", "rabbitmq")
    server = "rabbitmq"
    loses_what_is_taken = False
    writing = rb"app_metrics\.tasks\.write_batch"

    def settings(self, directory: Path) -> dict[str, Any]:
        return {**super().settings(directory), "FAULTS_BROKER": self._url(self.servers["rabbitmq"]["PORT"])}

    def socket(self) -> tuple[str, int]:
        return self.servers["rabbitmq"]["HOST"], int(self.servers["rabbitmq"]["PORT"])

    def through(self, port: int) -> dict[str, Any]:
        return {"options": {"FAULTS_BROKER": self._url(port)}}

    @staticmethod
    def _url(port: int | str) -> str:
        return f"amqp://guest:guest@{ADDRESS}:{port}//"


class Spooled(PostgreSQL):
    """Every batch is spooled, and an aggregation replays the spool into the database.

    Batches are offered to the database only when a network fault makes it fail.
    """

    name = "db with a spool"
    has_spool = True
    writes_in_transaction = False
    recognises_what_was_counted = True
    # An aggregation that loses its connection during the replay goes on with the items already written.
    recognises_what_waits = False

    def settings(self, directory: Path) -> dict[str, Any]:
        return {**SETTINGS, "FAULTS_REFUSING": True, "APP_METRICS_SPOOL_DIR": str(directory / "spool")}

    def through(self, port: int) -> dict[str, Any]:
        return {**super().through(port), "options": {"FAULTS_REFUSING": False}}


class Buffered(PostgreSQL):
    name = "db with a buffer"
    # The most batches merged in memory before the page flushes them.
    batches_in_flight = 10
    excepted = {**FROZEN, **dict.fromkeys([*AGGREGATING, "delivered twice"], "as without a buffer")}

    def settings(self, directory: Path) -> dict[str, Any]:
        return {**SETTINGS, "APP_METRICS_FLUSH_INTERVAL": 0.2}


class Journalled(Buffered):
    """The buffered mode with a journal: a batch is acknowledged before it is written."""

    name = "db with a journal"
    has_journal = has_ledger = True
    batches_in_flight = 1
    writing = rb"COMMIT"
    writes_per_lost_reply = 1  # a slow machine may merge all batches of a writer into one write
    excepted = {
        **FROZEN,
        **dict.fromkeys([*AGGREGATING, "delivered twice"], "as without a buffer"),
    }

    def settings(self, directory: Path) -> dict[str, Any]:
        return {**SETTINGS, "APP_METRICS_FLUSH_INTERVAL": 0.02, "APP_METRICS_SPOOL_DIR": str(directory / "spool")}


class RedisJournalled(Redis):
    """The same with Redis, to which an aggregation offers again what is left."""

    name = "redis with a journal"
    has_journal = True
    writes_per_lost_reply = 1
    excepted = dict.fromkeys([*AGGREGATING, "delivered twice"], "as without a buffer")

    def settings(self, directory: Path) -> dict[str, Any]:
        spool = str(directory / "spool")
        return {**super().settings(directory), "APP_METRICS_FLUSH_INTERVAL": 0.02, "APP_METRICS_SPOOL_DIR": spool}


DESTINATIONS = (
    Sqlite,
    PostgreSQL,
    MariaDB,
    MySQL,
    MySQLWithSnapshots,
    Redis,
    CeleryOverRedis,
    CeleryOverRabbitMQ,
    Spooled,
    Buffered,
    Journalled,
    RedisJournalled,
)


@contextmanager
def make_site(
    destination: Destination, *under: str, disk: Path | None = None, has_replica: bool = False
) -> Iterator[Site]:
    """Yield a site with an empty database; keep its files on `disk`, if given, which the command `under` mounts.

    With a replica, its router reads from a second database, to which nothing is ever copied.
    """
    with tempfile.TemporaryDirectory(prefix="faults_") as directory:
        home = Path(directory)
        settings, databases = destination.settings(disk or home), {"default": destination.database(disk or home)}
        if has_replica:
            settings = {**settings, "DATABASE_ROUTERS": ["tests.support.replicas.PrimaryReplicaRouter"]}
            databases["replica"] = beside(databases["default"])
        with Site(home, databases, settings, *under) as site:
            site.run("create")
            yield site


def beside(database: dict[str, Any]) -> dict[str, Any]:
    """Return the entry for another database on the same server, or in the same folder."""
    name = {"NAME": f"{database['NAME']}_replica"}
    return {**database, **name, "TEST": {**database["TEST"], **name}}
