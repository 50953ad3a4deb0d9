# One migration: there is no release yet. Its name must not be "0001_initial", which forks of the predecessor have in
# their migration tables under the same app label.

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import app_metrics.models.fields
import app_metrics.models.reports
import app_metrics.models.totals
from app_metrics.storage.journal import journal_of


def forget_former_journal(apps, schema_editor):
    """Delete what is pending beside a new database, because it was recorded for a former one of the same name."""
    if journal := journal_of(schema_editor.connection):
        journal.forget()


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AggregationRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("finished_at", models.DateTimeField(verbose_name="finished at")),
                ("seconds", models.FloatField(verbose_name="seconds")),
                ("items", models.BigIntegerField(verbose_name="items")),
                ("quarantined", models.BigIntegerField(verbose_name="quarantined")),
            ],
            options={
                "verbose_name": "aggregation run",
                "verbose_name_plural": "aggregation runs",
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", app_metrics.models.fields.ExactCharField(max_length=200, unique=True, verbose_name="name")),
                (
                    "state",
                    models.CharField(
                        choices=[("ok", "ok"), ("fired", "fired")], default="ok", max_length=5, verbose_name="state"
                    ),
                ),
                ("changed_at", models.DateTimeField(blank=True, null=True, verbose_name="changed at")),
                ("evaluated_at", models.DateTimeField(blank=True, null=True, verbose_name="evaluated at")),
                (
                    "value",
                    app_metrics.models.fields.ExactDecimalField(
                        blank=True, decimal_places=9, max_digits=38, null=True, verbose_name="value"
                    ),
                ),
                (
                    "base",
                    app_metrics.models.fields.ExactDecimalField(
                        blank=True, decimal_places=9, max_digits=38, null=True, verbose_name="base"
                    ),
                ),
                ("error", models.TextField(blank=True, verbose_name="error")),
                (
                    "reported_state",
                    models.CharField(
                        choices=[("ok", "ok"), ("fired", "fired")],
                        default="ok",
                        max_length=5,
                        verbose_name="last reported state",
                    ),
                ),
                ("reported_at", models.DateTimeField(blank=True, null=True, verbose_name="reported at")),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Metric",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("slug", app_metrics.models.fields.ExactSlugField(max_length=100, unique=True, verbose_name="slug")),
                (
                    "kind",
                    models.CharField(
                        choices=[("counter", "counter"), ("gauge", "gauge"), ("timer", "timer")],
                        default="counter",
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("unit", models.CharField(blank=True, max_length=30, verbose_name="unit")),
                ("description", models.TextField(blank=True, verbose_name="description")),
                (
                    "second_kind",
                    models.CharField(blank=True, editable=False, max_length=10, verbose_name="also recorded as"),
                ),
            ],
            options={
                "verbose_name": "metric",
                "verbose_name_plural": "metrics",
                "ordering": ("name", "pk"),
            },
        ),
        migrations.CreateModel(
            name="HighWaterMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", app_metrics.models.fields.ExactSlugField(max_length=100, unique=True, verbose_name="slug")),
                (
                    "total",
                    app_metrics.models.fields.ExactDecimalField(decimal_places=9, max_digits=38, verbose_name="total"),
                ),
            ],
            options={
                "verbose_name": "high-water mark",
                "verbose_name_plural": "high-water marks",
            },
        ),
        migrations.CreateModel(
            name="ImportedFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(max_length=64, unique=True, verbose_name="SHA-256")),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("lines", models.BigIntegerField(verbose_name="lines")),
                ("imported_at", models.DateTimeField(verbose_name="imported at")),
                ("counted_until", models.BigIntegerField(null=True, verbose_name="incomplete, counted until line")),
            ],
            options={
                "verbose_name": "imported file",
                "verbose_name_plural": "imported files",
            },
        ),
        migrations.CreateModel(
            name="Item",
            fields=[
                ("labels", app_metrics.models.fields.ExactCharField(max_length=500, verbose_name="labels")),
                ("hour", models.SmallIntegerField(verbose_name="hour")),
                ("count", models.BigIntegerField(verbose_name="count")),
                (
                    "total",
                    app_metrics.models.fields.ExactDecimalField(decimal_places=9, max_digits=38, verbose_name="total"),
                ),
                (
                    "minimum",
                    app_metrics.models.fields.ExactDecimalField(
                        decimal_places=9, max_digits=38, verbose_name="minimum"
                    ),
                ),
                (
                    "maximum",
                    app_metrics.models.fields.ExactDecimalField(
                        decimal_places=9, max_digits=38, verbose_name="maximum"
                    ),
                ),
                (
                    "last",
                    app_metrics.models.fields.ExactDecimalField(decimal_places=9, max_digits=38, verbose_name="last"),
                ),
                ("last_at", models.BigIntegerField(verbose_name="last recorded")),
                ("id", app_metrics.models.fields.ExactUUIDField(primary_key=True, serialize=False)),
                ("slug", app_metrics.models.fields.ExactCharField(max_length=100, verbose_name="slug")),
                ("kind", models.CharField(max_length=10, verbose_name="kind")),
                ("day", models.DateField(verbose_name="day")),
            ],
            options={
                "verbose_name": "pending item",
                "verbose_name_plural": "pending items",
            },
        ),
        migrations.CreateModel(
            name="LedgerRow",
            fields=[
                ("id", app_metrics.models.fields.ExactUUIDField(primary_key=True, serialize=False)),
                ("written_at", models.DateTimeField(db_index=True, verbose_name="written at")),
            ],
            options={
                "verbose_name": "ledger row",
                "verbose_name_plural": "ledger rows",
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("recipient", app_metrics.models.fields.ExactCharField(max_length=320, verbose_name="recipient")),
                ("address", models.CharField(max_length=320, verbose_name="address")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("sending", "being sent"),
                            ("sent", "sent"),
                            ("failed", "failed"),
                            ("undecided", "undecided"),
                            ("skipped", "skipped"),
                        ],
                        db_index=True,
                        default="waiting",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                ("error", models.TextField(blank=True, verbose_name="error")),
                ("planned_at", models.DateTimeField(verbose_name="planned at")),
                ("claimed_at", models.DateTimeField(blank=True, null=True, verbose_name="last tried at")),
                ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="sent at")),
                ("subject", models.CharField(max_length=500, verbose_name="subject")),
                ("text", models.TextField(verbose_name="text")),
            ],
            options={
                "verbose_name": "notice",
                "verbose_name_plural": "notices",
            },
        ),
        migrations.CreateModel(
            name="QuarantinedItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("payload", models.TextField(verbose_name="payload")),
                ("reason", models.TextField(verbose_name="reason")),
                ("quarantined_at", models.DateTimeField(auto_now_add=True, verbose_name="quarantined at")),
            ],
            options={
                "verbose_name": "quarantined item",
                "verbose_name_plural": "quarantined items",
            },
        ),
        migrations.CreateModel(
            name="Backfill",
            fields=[
                (
                    "metric",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="backfill",
                        to="app_metrics.metric",
                        verbose_name="metric",
                    ),
                ),
                ("until_day", models.DateField(verbose_name="filled until")),
                ("until_hour", models.SmallIntegerField(verbose_name="hour")),
                ("end_day", models.DateField(null=True, verbose_name="to be filled until")),
                ("end_hour", models.SmallIntegerField(default=0, verbose_name="hour")),
                ("events", models.BigIntegerField(default=0, verbose_name="events added")),
                ("updated_at", models.DateTimeField(verbose_name="updated at")),
            ],
            options={
                "verbose_name": "backfill",
                "verbose_name_plural": "backfills",
            },
        ),
        migrations.CreateModel(
            name="Dashboard",
            fields=[],
            options={
                "verbose_name": "dashboard",
                "verbose_name_plural": "dashboard",
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("app_metrics.metric",),
        ),
        migrations.CreateModel(
            name="MetricSet",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, unique=True, verbose_name="name")),
                (
                    "email_addresses",
                    models.TextField(
                        blank=True,
                        help_text="Recipients who are not users of this site: one address per line.",
                        validators=[app_metrics.models.reports.validate_addresses],
                        verbose_name="e-mail addresses",
                    ),
                ),
                ("send_daily", models.BooleanField(default=True, verbose_name="send daily")),
                ("send_weekly", models.BooleanField(default=False, verbose_name="send weekly")),
                ("send_monthly", models.BooleanField(default=False, verbose_name="send monthly")),
                (
                    "declared",
                    models.BooleanField(default=False, editable=False, verbose_name="declared in the settings"),
                ),
                (
                    "email_recipients",
                    models.ManyToManyField(
                        blank=True, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="e-mail recipients"
                    ),
                ),
                (
                    "metrics",
                    models.ManyToManyField(
                        blank=True, related_name="sets", to="app_metrics.metric", verbose_name="metrics"
                    ),
                ),
            ],
            options={
                "verbose_name": "metric set",
                "verbose_name_plural": "metric sets",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Milestone",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", app_metrics.models.fields.ExactSlugField(db_index=False, max_length=100, verbose_name="slug")),
                (
                    "value",
                    app_metrics.models.fields.ExactDecimalField(
                        decimal_places=9, max_digits=38, verbose_name="milestone"
                    ),
                ),
                (
                    "total",
                    app_metrics.models.fields.ExactDecimalField(decimal_places=9, max_digits=38, verbose_name="total"),
                ),
                ("reached_at", models.DateTimeField(verbose_name="reached at")),
                ("announced", models.BooleanField(db_index=True, default=False, verbose_name="announced")),
            ],
            options={
                "verbose_name": "milestone",
                "verbose_name_plural": "milestones",
                "ordering": ("-reached_at", "-pk"),
                "constraints": [models.UniqueConstraint(fields=("slug", "value"), name="app_metrics_milestone_unique")],
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "period",
                    models.CharField(
                        choices=app_metrics.models.reports.sent_period_choices, max_length=10, verbose_name="period"
                    ),
                ),
                ("through", models.DateField(verbose_name="through")),
                ("planned_at", models.DateTimeField(verbose_name="planned at")),
                (
                    "metric_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="schedules",
                        to="app_metrics.metricset",
                        verbose_name="metric set",
                    ),
                ),
            ],
            options={
                "verbose_name": "schedule",
                "verbose_name_plural": "schedules",
            },
        ),
        migrations.CreateModel(
            name="ReportedMilestone",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start", models.DateField(verbose_name="start")),
                (
                    "milestone",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reported",
                        to="app_metrics.milestone",
                        verbose_name="milestone",
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reported_milestones",
                        to="app_metrics.schedule",
                        verbose_name="schedule",
                    ),
                ),
            ],
            options={
                "verbose_name": "reported milestone",
                "verbose_name_plural": "reported milestones",
            },
        ),
        migrations.CreateModel(
            name="Total",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("labels", app_metrics.models.fields.ExactCharField(max_length=500, verbose_name="labels")),
                ("hour", models.SmallIntegerField(verbose_name="hour")),
                ("count", models.BigIntegerField(verbose_name="count")),
                (
                    "total",
                    app_metrics.models.fields.ExactDecimalField(decimal_places=9, max_digits=38, verbose_name="total"),
                ),
                (
                    "minimum",
                    app_metrics.models.fields.ExactDecimalField(
                        decimal_places=9, max_digits=38, verbose_name="minimum"
                    ),
                ),
                (
                    "maximum",
                    app_metrics.models.fields.ExactDecimalField(
                        decimal_places=9, max_digits=38, verbose_name="maximum"
                    ),
                ),
                (
                    "last",
                    app_metrics.models.fields.ExactDecimalField(decimal_places=9, max_digits=38, verbose_name="last"),
                ),
                ("last_at", models.BigIntegerField(verbose_name="last recorded")),
                (
                    "period",
                    models.CharField(
                        choices=app_metrics.models.totals.period_choices, max_length=10, verbose_name="period"
                    ),
                ),
                ("start", models.DateField(verbose_name="start")),
                (
                    "metric",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="totals",
                        to="app_metrics.metric",
                        verbose_name="metric",
                    ),
                ),
            ],
            options={
                "verbose_name": "total",
                "verbose_name_plural": "totals",
            },
        ),
        migrations.CreateModel(
            name="Unsubscription",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("recipient", app_metrics.models.fields.ExactCharField(max_length=320, verbose_name="recipient")),
                ("address", models.CharField(max_length=320, verbose_name="address")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="unsubscribed at")),
                (
                    "metric_set",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="unsubscriptions",
                        to="app_metrics.metricset",
                        verbose_name="metric set",
                    ),
                ),
            ],
            options={
                "verbose_name": "unsubscription",
                "verbose_name_plural": "unsubscriptions",
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("recipient", app_metrics.models.fields.ExactCharField(max_length=320, verbose_name="recipient")),
                ("address", models.CharField(max_length=320, verbose_name="address")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("sending", "being sent"),
                            ("sent", "sent"),
                            ("failed", "failed"),
                            ("undecided", "undecided"),
                            ("skipped", "skipped"),
                        ],
                        db_index=True,
                        default="waiting",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                ("error", models.TextField(blank=True, verbose_name="error")),
                ("planned_at", models.DateTimeField(verbose_name="planned at")),
                ("claimed_at", models.DateTimeField(blank=True, null=True, verbose_name="last tried at")),
                ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="sent at")),
                (
                    "period",
                    models.CharField(
                        choices=app_metrics.models.reports.sent_period_choices, max_length=10, verbose_name="period"
                    ),
                ),
                ("start", models.DateField(verbose_name="start")),
                (
                    "metric_set",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="app_metrics.metricset",
                        verbose_name="metric set",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("metric_set", "period", "start", "recipient"), name="app_metrics_delivery_unique"
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.UniqueConstraint(fields=("metric_set", "period"), name="app_metrics_schedule_unique"),
        ),
        migrations.AddConstraint(
            model_name="reportedmilestone",
            constraint=models.UniqueConstraint(
                fields=("schedule", "milestone"), name="app_metrics_reported_milestone_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="total",
            constraint=models.UniqueConstraint(
                fields=("metric", "period", "start", "hour", "labels"), name="app_metrics_total_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="unsubscription",
            constraint=models.UniqueConstraint(
                fields=("metric_set", "recipient"), name="app_metrics_unsubscription_unique"
            ),
        ),
        migrations.RunPython(forget_former_journal, migrations.RunPython.noop),
    ]
