"""Orders of shares have types of their own (MOEX-ROUTE-03, -04)."""

from django.db import migrations, models

TYPES = [(1, "market"), (2, "limit"), (3, "stop"), (4, "fill and kill"), (5, "best price"), (6, "passive")]


class Migration(migrations.Migration):
    dependencies = [("trading", "0005_attribution")]

    operations = [
        migrations.AlterField(
            model_name="order", name="order_type", field=models.PositiveSmallIntegerField(choices=TYPES)
        ),
    ]
