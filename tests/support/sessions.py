"""Other sessions of a test's database, and sessions that wait for a lock."""

from contextlib import closing, contextmanager

from django.db import connections

# The number of sessions of this database that wait for a lock; the server also has those of other tests.
WAITING = {
    "postgresql": """
        SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database()
    """,
    # InnoDB refreshes its data on transactions only if nobody has read it for 0.1 s.
    "mysql": """
        SELECT count(*) + sleep(0.2) FROM information_schema.innodb_trx
        JOIN information_schema.processlist ON id = trx_mysql_thread_id
        WHERE trx_state = 'LOCK WAIT' AND db = database()
    """,
}


@contextmanager
def other_session(alias):
    """Yield a second connection to the same database, in a transaction, for any thread."""
    with closing(connections[alias].copy()) as other:
        other.inc_thread_sharing()
        other.set_autocommit(False)
        yield other


def run(connection, statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def waiting(connection):
    """Return how many sessions wait for a lock; not on SQLite, where they wait for the file."""
    if connection.vendor == "postgresql":
        run(connection, "SELECT pg_stat_clear_snapshot()")  # otherwise the transaction sees a cached list of sessions
    return int(run(connection, WAITING[connection.vendor])[0][0])
