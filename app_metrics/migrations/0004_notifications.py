from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("app_metrics", "0003_annotation"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="notice",
            options={"verbose_name": "notification", "verbose_name_plural": "notifications"},
        ),
        migrations.AlterField(
            model_name="delivery",
            name="address",
            field=models.CharField(max_length=320, verbose_name="e-mail address"),
        ),
        migrations.AlterField(
            model_name="notice",
            name="address",
            field=models.CharField(max_length=320, verbose_name="e-mail address"),
        ),
        migrations.AlterField(
            model_name="unsubscription",
            name="address",
            field=models.CharField(max_length=320, verbose_name="e-mail address"),
        ),
        migrations.AlterField(
            model_name="metricset",
            name="email_recipients",
            field=models.ManyToManyField(
                blank=True, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="users"
            ),
        ),
    ]
