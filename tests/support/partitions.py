"""Partition the totals on PostgreSQL, with the statements of docs/scaling.md."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "scaling.md"
DIVIDE, FORGET, DELETE = re.findall(
    r"^```postgresql\n-- PostgreSQL\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
)
# The former table comes back, emptied, so that other tests find it as it was.
UNDO = """
    DROP TABLE IF EXISTS app_metrics_total;
    ALTER TABLE app_metrics_total_before RENAME TO app_metrics_total;
    ALTER INDEX app_metrics_total_before_pkey RENAME TO app_metrics_total_pkey;
    ALTER INDEX app_metrics_total_before_unique RENAME TO app_metrics_total_unique;
    TRUNCATE app_metrics_total"""


@contextmanager
def divided(alias: str) -> Iterator[None]:
    """Move the totals to partitions for the duration of the block; afterwards there are none."""
    execute(alias, DIVIDE)
    try:
        yield
    finally:
        execute(alias, UNDO)


def delete_month(alias: str, name: str) -> None:
    """Delete the hours of a month, named as in 2026_11."""
    execute(alias, re.sub(r"\d{4}_\d\d", name, DELETE))


def execute(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def numbers(alias: str) -> dict[str, int]:
    """Return how many totals there are in each table that has some."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM app_metrics_total GROUP BY 1")
        return dict(cursor.fetchall())
