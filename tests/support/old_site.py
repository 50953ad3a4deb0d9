"""A database as the predecessor left it: tables in the shape of South or of a fork, and three years of numbers.

The numbers have the flaws that its versions produced: weeks and months on two dates, days that were deleted, a day in
two rows, two sets of one name, and slugs that are none.
"""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connections, transaction
from django.db.migrations.recorder import MigrationRecorder

# The usual shapes, and that of a fork whose metrics belong to companies.
SOUTH, FORK, COMPANIES = SHAPES = ("south", "fork", "companies")
ZONE = ZoneInfo("Europe/Berlin")
FIRST, LAST = date(2021, 1, 1), date(2023, 12, 31)
SLUGS = [f"metric-{number}" for number in range(1, 14)] + ["api.calls", "api-calls", "signups", "orders paid"]
# Their days before 2022 and 2023 were deleted.
PRUNED = {"signups": date(2022, 1, 1), "metric-2": date(2022, 9, 14)}
WAITING = 399

# Types of columns by vendor: a primary key, a time, a switch.
TYPES = {
    "sqlite": ("integer NOT NULL PRIMARY KEY AUTOINCREMENT", "datetime", "bool"),
    "postgresql": ("serial NOT NULL PRIMARY KEY", "timestamp with time zone", "boolean"),
    "mysql": ("integer AUTO_INCREMENT NOT NULL PRIMARY KEY", "datetime(6)", "bool"),
}
FLAGS = ("no_email", "send_daily", "send_weekly", "send_monthly")
PERIOD_TABLES = ("metricday", "metricweek", "metricmonth", "metricyear")


def upstream_week(moment: datetime) -> date:
    """Return the date that the predecessor stored: it subtracted days from UTC, and Django took the local date."""
    return (moment - timedelta(days=moment.weekday())).astimezone(ZONE).date()


def upstream_month(moment: datetime) -> date:
    return (moment - timedelta(days=moment.day - 1)).astimezone(ZONE).date()


class OldSite:
    """Build the old database of an alias, and remember what it counted."""

    def __init__(self, alias: str, shape: str, small: bool = False) -> None:
        self.connection = connections[alias]
        self.shape = shape
        # The type of columns that refer to a key.
        self.ref = "bigint" if shape == COMPANIES else "integer"
        self.first = date(2023, 11, 20) if small else FIRST
        self.last = date(2024, 1, 10) if small else LAST
        self.slugs = SLUGS[-4:] if small else SLUGS
        self.users = (1, 2)
        self.ids = {slug: 10 + place for place, slug in enumerate(self.slugs)}
        # What really happened, by slug and local day; and old rows by table.
        self.days: dict[str, Counter[date]] = defaultdict(Counter)
        self.rows: dict[str, list[tuple[int, int, Any]]] = {}

    def build(self) -> "OldSite":
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            self._create(cursor)
            self._fill(cursor)
            self._reset_sequences(cursor)
            self._record()
        return self

    def sum(self, slug: str, table: str) -> int:
        return sum(num for metric, num, _ in self.rows[table] if metric == self.ids[slug])

    def _create(self, cursor: Any) -> None:
        key, time, flag = TYPES[self.connection.vendor]
        fork = self.shape == FORK
        if self.shape == COMPANIES:
            key = key.replace("integer AUTO", "bigint AUTO").replace("serial", "bigserial")
            self._create_metrics_of_companies(cursor, key)
        else:
            extra = ", points integer NOT NULL" if fork else ""
            columns = f"id {key}, name varchar(50) NOT NULL, slug varchar(60) NOT NULL UNIQUE{extra}"
            self._table(cursor, "metric", columns)
        flags = ", ".join(
            f"{name} {flag} NOT NULL" for name in ("no_email", "send_daily", "send_weekly", "send_monthly")
        )
        self._table(cursor, "metricset", f"id {key}, name varchar(50) NOT NULL, {flags}")
        own = self._foreign_key
        self._table(
            cursor,
            "metricset_metrics",
            f"id {key}, metricset_id {self.ref} NOT NULL, metric_id {self.ref} NOT NULL, "
            "UNIQUE (metricset_id, metric_id), "
            f"{own('metricset_id', 'app_metrics_metricset')}, {own('metric_id', 'app_metrics_metric')}",
        )
        self._table(
            cursor,
            "metricset_email_recipients",
            f"id {key}, metricset_id {self.ref} NOT NULL, user_id integer NOT NULL, UNIQUE (metricset_id, user_id), "
            f"{own('metricset_id', 'app_metrics_metricset')}, {own('user_id', 'auth_user')}",
        )
        by = f", user_id integer, {own('user_id', 'auth_user')}" if fork else ""
        by_column, by_key = by.partition(", FOREIGN")[::2]
        by_key = f", FOREIGN{by_key}" if by_key else ""
        self._table(
            cursor,
            "metricitem",
            f"id {key}, metric_id {self.ref} NOT NULL, num integer NOT NULL, created {time} NOT NULL{by_column}, "
            f"{own('metric_id', 'app_metrics_metric')}{by_key}",
        )
        for table in PERIOD_TABLES:
            self._table(
                cursor,
                table,
                f"id {key}, metric_id {self.ref} NOT NULL, num bigint NOT NULL, created date NOT NULL, "
                f"{own('metric_id', 'app_metrics_metric')}",
            )
            cursor.execute(f"CREATE INDEX app_metrics_{table}_metric_id ON app_metrics_{table} (metric_id)")
        self._table(
            cursor,
            "gauge",
            f"id {key}, name varchar(50) NOT NULL, slug varchar(60) NOT NULL UNIQUE, "
            f"current_value numeric(15, 6) NOT NULL, created {time} NOT NULL, updated {time} NOT NULL",
        )
        cursor.execute(
            f"CREATE TABLE shop_goal (id {key}, title varchar(20) NOT NULL, metric_id {self.ref}, "
            f"{own('metric_id', 'app_metrics_metric')})"
        )

    def _create_metrics_of_companies(self, cursor: Any, key: str) -> None:
        cursor.execute(f"CREATE TABLE shop_company (id {key}, name varchar(20) NOT NULL)")
        self._table(
            cursor,
            "metric",
            f"id {key}, name varchar(128) NOT NULL, slug varchar(128) NOT NULL, company_id bigint, "
            f"UNIQUE (slug, company_id), {self._foreign_key('company_id', 'shop_company')}",
        )

    def _table(self, cursor: Any, name: str, columns: str) -> None:
        cursor.execute(f"CREATE TABLE app_metrics_{name} ({columns})")

    def _foreign_key(self, column: str, table: str) -> str:
        deferred = "" if self.connection.vendor == "mysql" else " DEFERRABLE INITIALLY DEFERRED"
        return f"FOREIGN KEY ({column}) REFERENCES {table} (id){deferred}"

    def _fill(self, cursor: Any) -> None:
        self._insert(cursor, "auth_user", *self._people())
        extra = ("points",) if self.shape == FORK else ()
        columns = ("id", "name", "slug", *extra)
        rows = [(pk, slug.title(), slug, *(7 for _ in extra)) for slug, pk in self.ids.items()]
        self._insert(cursor, "app_metrics_metric", columns, rows)
        if self.shape == COMPANIES:
            self._insert(cursor, "shop_company", ("id", "name"), [(1, "One"), (2, "Two")])
            more = [(90, "Signups", "signups", 2), (91, "Long", "x" * 120, 1)]
            self._insert(cursor, "app_metrics_metric", ("id", "name", "slug", "company_id"), more)
        sets = [
            (1, "Growth", False, True, False, False),
            (2, "Growth", False, False, True, False),
            (3, "Muted", True, True, True, False),
            (4, "Money", False, True, False, True),
            (5, "growth", False, True, False, False),
        ]
        self._insert(cursor, "app_metrics_metricset", ("id", "name", *FLAGS), sets)
        members = [(pk, metric) for pk, *_ in sets for metric in list(self.ids.values())[:3]]
        self._insert(cursor, "app_metrics_metricset_metrics", ("metricset_id", "metric_id"), members)
        people = [(pk, user) for pk, *_ in sets for user in self.users]
        self._insert(cursor, "app_metrics_metricset_email_recipients", ("metricset_id", "user_id"), people)
        self._insert(cursor, "shop_goal", ("title", "metric_id"), [("More", pk) for pk in self.ids.values()])
        self._fill_history(cursor)
        moment = self._time(datetime(2023, 12, 24, 18, 30, tzinfo=UTC))
        gauges = [("Queue", "queue", "12.5"), ("Signups", "signups", "3"), ("CPU load", "cpu.load", "0.25")]
        self._insert(
            cursor,
            "app_metrics_gauge",
            ("name", "slug", "current_value", "created", "updated"),
            [(*gauge, moment, moment) for gauge in gauges],
        )

    def _fill_history(self, cursor: Any) -> None:
        self.rows = {table: [] for table in (*PERIOD_TABLES, "metricitem")}
        for slug, pk in self.ids.items():
            self._fill_metric(slug, pk)
        for table in PERIOD_TABLES:
            self._insert(cursor, f"app_metrics_{table}", ("metric_id", "num", "created"), self.rows[table])
        for number in range(WAITING):
            pk = list(self.ids.values())[number % len(self.ids)]
            moment = datetime(2024, 1, 2, number % 24, number % 60, 7, tzinfo=UTC)
            self.rows["metricitem"].append((pk, 1 + number % 3, moment))
        items = [(pk, num, self._time(moment)) for pk, num, moment in self.rows["metricitem"]]
        self._insert(cursor, "app_metrics_metricitem", ("metric_id", "num", "created"), items)

    def _fill_metric(self, slug: str, pk: int) -> None:
        sums: dict[str, Counter[date]] = {table: Counter() for table in PERIOD_TABLES}
        day, place = self.first + timedelta(days=pk), 0
        while day <= self.last:
            # Two events a day, one of them shortly before midnight in UTC, which is the next day in Berlin.
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            for moment in (noon, noon + timedelta(hours=11, minutes=30)):
                number = 1 + (pk * 7 + place * 5) % 40
                place += 1
                local = moment.astimezone(ZONE).date()
                self.days[slug][local] += number
                sums["metricday"][local] += number
                sums["metricweek"][upstream_week(moment)] += number
                sums["metricmonth"][upstream_month(moment)] += number
                sums["metricyear"][date(moment.year, 1, 1)] += number
            day += timedelta(days=1)
        for table, found in sums.items():
            self.rows[table] += [(pk, num, created) for created, num in found.items()]
        kept = self.rows["metricday"]
        if pruned := PRUNED.get(slug):
            kept = [row for row in kept if row[0] != pk or row[2] >= pruned]
        if slug == self.slugs[0]:  # a day in two rows, as two aggregations at once made them
            metric, num, created = kept.pop()
            kept += [(metric, num - 1, created), (metric, 1, created)]
        self.rows["metricday"] = kept

    def _people(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        columns = (
            "id", "password", "is_superuser", "username", "first_name", "last_name", "email", "is_staff", "is_active",
            "date_joined",
        )  # fmt: skip
        joined = self._time(datetime(2021, 1, 1, tzinfo=UTC))
        return columns, [
            (user, "!", False, f"user{user}", "", "", f"user{user}@example.com", False, True, joined)
            for user in self.users
        ]

    def _reset_sequences(self, cursor: Any) -> None:
        if self.connection.vendor == "postgresql":
            for table in ("app_metrics_metric", "app_metrics_metricset", "auth_user"):
                cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")

    def _time(self, moment: datetime) -> Any:
        if not settings.USE_TZ:
            moment = moment.astimezone(ZONE).replace(tzinfo=None)
        return self.connection.ops.adapt_datetimefield_value(moment)

    def _insert(self, cursor: Any, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        values = ", ".join(["%s"] * len(columns))
        if self.connection.vendor == "sqlite":
            rows = [tuple(str(each) if isinstance(each, date) else each for each in row) for row in rows]
        cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", rows)

    def _record(self) -> None:
        if self.shape != SOUTH:
            MigrationRecorder(self.connection).record_applied("app_metrics", "0001_initial")
        else:
            with self.connection.cursor() as cursor:
                cursor.execute("CREATE TABLE south_migrationhistory (app_name varchar(255), migration varchar(255))")
                cursor.execute("INSERT INTO south_migrationhistory VALUES ('app_metrics', '0003_auto__add_gauge')")


def execute(connection: Any, sql: str) -> Any:
    """Run a statement, and return the rows that it finds; None if it is no query."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def drop_everything(connection: Any) -> None:
    """Drop all tables that are not those of Django's own apps, and forget our migrations."""
    tables = [
        each
        for each in connection.introspection.table_names()
        if each.startswith(("app_metrics_", "shop_", "south_", "new__"))
    ]
    quoted = [connection.ops.quote_name(table) for table in tables]
    atomic = transaction.atomic(using=connection.alias)
    with connection.constraint_checks_disabled(), atomic, connection.cursor() as cursor:
        for table in quoted:
            cursor.execute(f"DROP TABLE {table}{' CASCADE' if connection.vendor == 'postgresql' else ''}")
        cursor.execute("DELETE FROM auth_user")
    MigrationRecorder(connection).migration_qs.filter(app="app_metrics").delete()


def dump(connection: Any) -> dict[str, Any]:
    """Return every table with its columns, constraints and rows."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            columns = [tuple(column[:7]) for column in connection.introspection.get_table_description(cursor, table)]
            constraints = connection.introspection.get_constraints(cursor, table)
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found[table] = columns, constraints, sorted(map(str, cursor.fetchall()))
    return found
