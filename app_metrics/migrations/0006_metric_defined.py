from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("app_metrics", "0005_metric_better"),
    ]

    operations = [
        migrations.AddField(
            model_name="metric",
            name="defined",
            field=models.JSONField(editable=False, null=True),
        ),
    ]
