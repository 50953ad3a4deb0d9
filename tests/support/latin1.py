"""Tables of an old MariaDB database, whose default charset was latin1."""

from contextlib import contextmanager


@contextmanager
def latin1_columns(connection):
    """Give the columns of names the charset of an old database; only MariaDB has charsets for columns."""
    columns = [("app_metrics_metric", "name"), ("app_metrics_metricset", "name")]
    columns = columns if connection.vendor == "mysql" else []

    def convert(charset):
        with connection.cursor() as cursor:
            for table, column in columns:
                cursor.execute(f"ALTER TABLE {table} MODIFY {column} varchar(200) CHARACTER SET {charset} NOT NULL")

    convert("latin1")
    try:
        yield
    finally:
        convert("utf8mb4")
