import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_stock_and_payments")]

    operations = [
        migrations.AlterField(
            "order", "created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)
        ),
    ]
