from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("app_metrics", "0003_annotation"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="notice",
            options={"verbose_name": "notification", "verbose_name_plural": "notifications"},
        ),
    ]
