"""Generate years of totals in PostgreSQL, the same in every run: many metrics with three label sets each.

Counters grow, follow the week, and vary from day to day; each day's volume is spread evenly over its hours.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connections, transaction

from app_metrics.core.batch import new_batch_id
from app_metrics.core.labels import encode_labels
from app_metrics.models import Metric

HOURLY_DAYS = 60  # as APP_METRICS_RETENTION = {"hour": 60} leaves it
PLANS = {"a": 0.6, "b": 0.3, "c": 0.1}
ITEMS_PER_SERIES = 5

# A Tuesday, so that the current week has more than one day.
TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 21, 30, tzinfo=ZoneInfo("Europe/Berlin"))
COLUMNS = "metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at"

# Insert rows by date, as an aggregation does, so that the rows of a metric are not adjacent. Each volume is a
# multiple of 24.
DAYS = f"""
    INSERT INTO app_metrics_total ({COLUMNS})
    SELECT metric.id, 'day', day, 0, series.labels, volume, volume * value, value, value, value,
           extract(epoch FROM (day + 1)::timestamp AT TIME ZONE '{NOW.tzinfo}')::bigint * 1000000 - 1
    FROM app_metrics_metric AS metric
    CROSS JOIN unnest(%(labels)s::text[], %(shares)s::float[]) AS series (labels, share)
    CROSS JOIN (SELECT moment::date AS day FROM generate_series(%(first)s, %(today)s, '1 day') AS moment) AS days
    CROSS JOIN LATERAL (SELECT CASE metric.kind WHEN 'counter' THEN 1 ELSE 0.25 END AS value) AS numbers
    CROSS JOIN LATERAL (SELECT
        24 * ceil((12 + metric.id * 37 %% 200) * share * (0.2 + 0.8 * (day - %(first)s)::float / %(span)s)
        * CASE WHEN extract(isodow FROM day) > 5 THEN 0.6 ELSE 1 END
        * (0.8 + 0.2 * sin(metric.id * 12.9898 + (day - %(first)s) ^ 2 * 0.7373)))::bigint AS volume
    ) AS volumes
    ORDER BY day, metric.id, series.labels"""
HOURS = f"""
    INSERT INTO app_metrics_total ({COLUMNS})
    SELECT metric_id, 'hour', start, hours.hour, labels, count / 24, total / 24, minimum, maximum, last,
           last_at - (23 - hours.hour) * 3600000000
    FROM app_metrics_total CROSS JOIN generate_series(0, 23) AS hours (hour)
    WHERE period = 'day' AND start > %(today)s - %(hourly_days)s AND (start < %(today)s OR hours.hour < %(hour)s)
    ORDER BY start, hours.hour, metric_id, labels"""
FORGET_TODAY = "DELETE FROM app_metrics_total WHERE period = 'day' AND start = %(today)s"
FOLD = f"""
    INSERT INTO app_metrics_total ({COLUMNS})
    SELECT metric_id, '{{period}}', date_trunc('{{period}}', start::timestamp)::date AS first, 0, labels, sum(count),
           sum(total), min(minimum), max(maximum), (array_agg(last ORDER BY last_at DESC))[1], max(last_at)
    FROM app_metrics_total WHERE period = '{{source}}' AND start >= %(since)s
    GROUP BY metric_id, first, labels
    ORDER BY first, metric_id, labels"""
ITEMS = """
    INSERT INTO app_metrics_item (id, slug, kind, day, hour, labels, count, total, minimum, maximum, last, last_at)
    SELECT (%(batch)s || lpad(to_hex(row_number() OVER ()), 12, '0'))::uuid, slug, kind, %(today)s, %(hour)s, labels,
           1, 1, 1, 1, 1, %(now)s - 1000000 * number
    FROM app_metrics_metric
    CROSS JOIN unnest(%(labels)s::text[]) AS series (labels)
    CROSS JOIN generate_series(1, %(items)s) AS number"""


def fill(alias, metrics, years):
    """Store metrics, totals up to NOW, and pending items of the last hour."""
    first = TODAY.replace(year=TODAY.year - years) + timedelta(days=1)
    values = {
        "labels": [encode_labels({"plan": plan}) for plan in PLANS],
        "shares": list(PLANS.values()),
        "first": first,
        "today": TODAY,
        "span": (TODAY - first).days,
        "hour": NOW.hour,
        "hourly_days": HOURLY_DAYS,
        "items": ITEMS_PER_SERIES,
        "batch": new_batch_id().hex[:20],
        "now": int(NOW.timestamp()) * 1_000_000,
    }
    kinds = ["timer" if number % 10 == 9 else "gauge" if number % 10 == 8 else "counter" for number in range(metrics)]
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        Metric.objects.bulk_create(
            Metric(name=f"Metric {number:03}", slug=f"metric-{number:03}", kind=kind, unit="s" * (kind == "timer"))
            for number, kind in enumerate(kinds)
        )
        for statement in (DAYS, HOURS, FORGET_TODAY):
            cursor.execute(statement, values)
        cursor.execute(FOLD.format(period="day", source="hour"), {"since": TODAY})
        for period in ("week", "month", "year"):
            cursor.execute(FOLD.format(period=period, source="day"), {"since": first})
        cursor.execute(ITEMS, values)
    with connections[alias].cursor() as cursor:
        # In a real table, autovacuum did this long ago; it should not start during a measurement.
        cursor.execute("VACUUM ANALYZE")
