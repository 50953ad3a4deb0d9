"""Many items at once, by each database's own generator."""

from django.db import connections

from app_metrics.core.batch import Key, new_batch_id
from app_metrics.core.summary import Summary, single

COLUMNS = ", ".join(("id", *Key._fields, *Summary._fields))
VALUES = f"'counter', '{{}}', '2026-05-31', 22, {', '.join(map(str, single(1, at=1_780_257_600)))}"

# Ids ascend, as those of real items do: the parameters are their common beginning and how many there are.
STATEMENTS = {
    "postgresql": f"""
        SELECT (%s || lpad(to_hex(number), 12, '0'))::uuid, 'slug-' || number %% 10,
               {VALUES.replace("'2026-05-31'", "date '2026-05-31'")}
        FROM generate_series(1, %s) AS number""",
    "mysql": f"""
        SELECT CONCAT(%s, LPAD(HEX(seq), 12, '0')), CONCAT('slug-', seq %% 10), {VALUES}
        FROM seq_1_to_100000000 LIMIT %s""",
    "sqlite": f"""
        WITH RECURSIVE series(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM series)
        SELECT %s || printf('%%012x', number), 'slug-' || number %% 10, {VALUES} FROM series LIMIT %s""",
}


def fill(alias, items):
    """Insert items of ten metrics, each with count and total 1, in the hour from 22:00 on 31 May 2026."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        statement = f"INSERT INTO app_metrics_item ({COLUMNS}) {STATEMENTS[connection.vendor]}"
        cursor.execute(statement, [new_batch_id().hex[:20], items])
