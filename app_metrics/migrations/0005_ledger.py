from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("app_metrics", "0004_backfill"),
    ]

    operations = [
        migrations.CreateModel(
            name="LedgerRow",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("written_at", models.DateTimeField(db_index=True, verbose_name="written at")),
            ],
            options={
                "verbose_name": "ledger row",
                "verbose_name_plural": "ledger rows",
            },
        ),
    ]
