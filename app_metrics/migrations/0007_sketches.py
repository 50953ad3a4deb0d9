from django.db import migrations, models

import app_metrics.models.fields

KINDS = [
    ("counter", "counter"),
    ("gauge", "gauge"),
    ("timer", "timer"),
    ("distribution", "distribution"),
    ("unique", "unique count"),
]


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
        migrations.AlterField(
            model_name="item",
            name="kind",
            field=models.CharField(max_length=20, verbose_name="kind"),
        ),
        migrations.AlterField(
            model_name="metric",
            name="kind",
            field=models.CharField(choices=KINDS, default="counter", max_length=20, verbose_name="kind"),
        ),
        migrations.AlterField(
            model_name="metric",
            name="second_kind",
            field=models.CharField(blank=True, editable=False, max_length=20, verbose_name="also recorded as"),
        ),
    ]
