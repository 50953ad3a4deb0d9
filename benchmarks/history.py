"""Two years of totals of 200 metrics with three label sets each, or five at scale, made by PostgreSQL itself.

Counters grow, follow the week and the year, and vary from day to day; of each day's volume the hours take their share,
so that hours, days, weeks, months and years agree. Nothing is random: the same rows come out of every run.
"""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .measuring import FULL

METRICS = 200
YEARS = 5 if FULL else 2
HOURLY_DAYS = 60  # what APP_METRICS_RETENTION = {"hour": 60} leaves
PLANS = {"a": 0.6, "b": 0.3, "c": 0.1}
ITEMS_PER_SERIES = 5

# A Tuesday, so that this week has more than one day.
TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 21, 30, tzinfo=ZoneInfo("Europe/Berlin"))

COLUMNS = "metric_id, period, start, hour, labels, count, total, minimum, maximum, last, last_at"

# Rows go in by date, as an aggregation leaves them: the rows of one metric do not lie side by side.
DAYS = f"""
    INSERT INTO app_metrics_total ({COLUMNS})
    SELECT metric.id, 'day', day, 0, series.labels, volume, volume * value, value * low, value * high, value,
           extract(epoch FROM (day + 1)::timestamp AT TIME ZONE '{NOW.tzinfo}')::bigint * 1000000 - 1
    FROM app_metrics_metric AS metric
    CROSS JOIN unnest(%(labels)s::text[], %(shares)s::float[]) AS series (labels, share)
    CROSS JOIN (SELECT moment::date AS day FROM generate_series(%(first)s, %(today)s, '1 day') AS moment) AS days
    CROSS JOIN LATERAL (SELECT
        0.2 + 0.8 * (day - %(first)s)::float / %(span)s AS growth,
        CASE WHEN extract(isodow FROM day) > 5 THEN 0.6 ELSE 1 END AS weekday,
        1 + 0.15 * sin(extract(doy FROM day) / 58.1 + metric.id) AS season,
        (1 + sin(metric.id * 12.9898 + (day - %(first)s) ^ 2 * 0.7373)) / 2 AS noise
    ) AS shape
    CROSS JOIN LATERAL (SELECT
        CASE metric.kind WHEN 'gauge' THEN 24
             ELSE ceil((300 + metric.id * 37 %% 5000) * share * growth * weekday * season * (0.8 + 0.4 * noise)) END
        ::bigint AS volume,
        CASE metric.kind WHEN 'counter' THEN 1
             WHEN 'gauge' THEN round((1000 * share * growth * (0.9 + 0.2 * noise))::numeric)
             ELSE round((0.1 + 0.3 * noise)::numeric, 3) END AS value,
        CASE metric.kind WHEN 'counter' THEN 1 ELSE 0.5 END AS low,
        CASE metric.kind WHEN 'counter' THEN 1 ELSE 1.5 END AS high
    ) AS numbers
    ORDER BY day, metric.id, series.labels"""

# The difference of a rising curve at both ends of an hour: steep at noon, flat at night.
HOURS = f"""
    INSERT INTO app_metrics_total ({COLUMNS})
    SELECT metric_id, 'hour', start, hours.hour, labels, share, total / count * share, minimum, maximum, last,
           last_at - (23 - hours.hour) * 3600000000
    FROM app_metrics_total AS day
    JOIN app_metrics_metric AS metric ON metric.id = metric_id
    CROSS JOIN generate_series(0, 23) AS hours (hour)
    CROSS JOIN LATERAL (SELECT CASE metric.kind WHEN 'gauge' THEN 0 ELSE 0.12 END AS swing) AS shape
    CROSS JOIN LATERAL (SELECT
        floor(count * ((hours.hour + 1) / 24.0 - swing * sin(pi() * (hours.hour + 1) / 12)))::bigint
        - floor(count * (hours.hour / 24.0 - swing * sin(pi() * hours.hour / 12)))::bigint AS share
    ) AS numbers
    WHERE period = 'day' AND start > %(today)s - %(hourly_days)s AND share > 0
        AND (start < %(today)s OR hours.hour < %(hour)s)
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
           1, value, value, value, value, %(now)s - 1000000 * number
    FROM app_metrics_metric
    CROSS JOIN unnest(%(labels)s::text[]) AS series (labels)
    CROSS JOIN generate_series(1, %(items)s) AS number
    CROSS JOIN LATERAL (SELECT CASE kind WHEN 'counter' THEN 1 WHEN 'gauge' THEN 900 ELSE 0.25 END AS value) AS numbers
    """


def fill() -> None:
    """Store metrics, totals and waiting items; they end at NOW."""
    from django.db import connection, transaction

    from app_metrics.models import Metric

    with transaction.atomic(), connection.cursor() as cursor:
        Metric.objects.bulk_create(metrics())
        values = parameters()
        cursor.execute(DAYS, values)
        cursor.execute(HOURS, values)
        cursor.execute(FORGET_TODAY, values)
        cursor.execute(FOLD.format(period="day", source="hour"), {"since": TODAY})
        for period in ("week", "month", "year"):
            cursor.execute(FOLD.format(period=period, source="day"), {"since": values["first"]})
        cursor.execute(ITEMS, values)
    with connection.cursor() as cursor:
        # What autovacuum has done long since in an old table, and should not begin during a measurement.
        cursor.execute("VACUUM ANALYZE")


def is_filled() -> bool:
    """Return whether the metrics and days are those that `fill` stores, and not those of another scale."""
    from django.db.models import Max, Min

    from app_metrics.models import Metric, Total

    days = Total.objects.filter(period="day").aggregate(first=Min("start"), last=Max("start"))
    return days == {"first": first_day(), "last": TODAY} and Metric.objects.count() == METRICS


def first_day() -> date:
    return TODAY.replace(year=TODAY.year - YEARS) + timedelta(days=1)


def metrics() -> list[Any]:
    from app_metrics.models import Metric

    kinds = ["counter"] * 160 + ["gauge"] * 20 + ["timer"] * 20
    return [
        Metric(name=f"Metric {number:03}", slug=f"metric-{number:03}", kind=kind, unit="s" if kind == "timer" else "")
        for number, kind in enumerate(kinds)
    ]


def parameters() -> dict[str, Any]:
    from app_metrics.core.batch import new_batch_id
    from app_metrics.core.labels import encode_labels

    first = first_day()
    return {
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
