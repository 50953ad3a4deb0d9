import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import app_metrics.models.annotations
import app_metrics.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("app_metrics", "0002_recurring_job"),
    ]

    operations = [
        migrations.CreateModel(
            name="Annotation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    app_metrics.models.fields.ExactCharField(
                        default=app_metrics.models.annotations.new_key,
                        editable=False,
                        max_length=120,
                        unique=True,
                        verbose_name="key",
                    ),
                ),
                (
                    "text",
                    models.CharField(
                        help_text="What happened, in a few words: “Release 4.2”.", max_length=200, verbose_name="text"
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_index=True,
                        default=django.utils.timezone.now,
                        validators=[app_metrics.models.annotations.validate_year],
                        verbose_name="happened at",
                    ),
                ),
                (
                    "url",
                    models.CharField(
                        blank=True,
                        help_text="A page about it. It begins with http:// or https://.",
                        max_length=500,
                        validators=[app_metrics.models.annotations.validate_web_address],
                        verbose_name="address",
                    ),
                ),
                (
                    "metric",
                    models.ForeignKey(
                        blank=True,
                        help_text="Choose none to annotate all metrics.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="annotations",
                        to="app_metrics.metric",
                        verbose_name="metric",
                    ),
                ),
            ],
            options={
                "verbose_name": "annotation",
                "verbose_name_plural": "annotations",
                "ordering": ("-at", "-pk"),
            },
        ),
    ]
