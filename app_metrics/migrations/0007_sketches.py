from typing import Any

from django.db import migrations, models

import app_metrics.models.fields

KINDS = [
    ("counter", "counter"),
    ("gauge", "gauge"),
    ("timer", "timer"),
    ("distribution", "distribution"),
    ("unique", "unique count"),
]


class Widen(migrations.AlterField):
    """Make a text column longer. Going back leaves it as long, because stored kinds may be longer than it was.

    PostgreSQL, MariaDB and MySQL would refuse to shorten it then, and the last two would stop halfway.
    """

    def database_backwards(self, *args: Any, **kwargs: Any) -> None:
        pass


class Migration(migrations.Migration):
    dependencies = [
        ("app_metrics", "0006_metric_defined"),
    ]

    operations = [
        migrations.AddField(
            model_name="item",
            name="histogram",
            field=app_metrics.models.fields.SketchField(editable=False, null=True, verbose_name="histogram"),
        ),
        migrations.AddField(
            model_name="item",
            name="uniques",
            field=app_metrics.models.fields.SketchField(editable=False, null=True, verbose_name="unique counts"),
        ),
        migrations.AddField(
            model_name="total",
            name="histogram",
            field=app_metrics.models.fields.SketchField(editable=False, null=True, verbose_name="histogram"),
        ),
        migrations.AddField(
            model_name="total",
            name="uniques",
            field=app_metrics.models.fields.SketchField(editable=False, null=True, verbose_name="unique counts"),
        ),
        Widen(
            model_name="item",
            name="kind",
            field=models.CharField(max_length=20, verbose_name="kind"),
        ),
        Widen(
            model_name="metric",
            name="kind",
            field=models.CharField(choices=KINDS, default="counter", max_length=20, verbose_name="kind"),
        ),
        Widen(
            model_name="metric",
            name="second_kind",
            field=models.CharField(blank=True, editable=False, max_length=20, verbose_name="also recorded as"),
        ),
    ]
