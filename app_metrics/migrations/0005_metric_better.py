from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("app_metrics", "0004_notifications"),
    ]

    operations = [
        migrations.AddField(
            model_name="metric",
            name="better",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "as its rules and its kind say"),
                    ("up", "more is better"),
                    ("down", "less is better"),
                    ("neither", "neither"),
                ],
                db_default="",
                default="",
                max_length=10,
                verbose_name="good news",
            ),
        ),
    ]
