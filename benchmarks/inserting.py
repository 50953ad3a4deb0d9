"""What one would write by hand to count requests exactly: a middleware that inserts a row for each."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

SQL = """
    INSERT INTO app_metrics_item (id, slug, kind, labels, day, hour, count, total, minimum, maximum, last, last_at)
    VALUES (%s, 'requests', 'counter', '{}', %s, %s, 1, 1, 1, 1, 1, %s)"""


def inserting(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    from django.db import connection

    from app_metrics.core.batch import new_batch_id

    def middleware(request: Any) -> Any:
        response = get_response(request)
        now = datetime.now(UTC)
        with connection.cursor() as cursor:
            cursor.execute(SQL, [new_batch_id().hex, now.date(), now.hour, int(now.timestamp() * 1e6)])
        return response

    return middleware
