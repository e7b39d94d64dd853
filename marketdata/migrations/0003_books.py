from django.db import migrations, models

KINDS = ("bars", "mbo", "mbp-10", "trades", "books")


class Migration(migrations.Migration):
    """Data sets of books: one more kind."""

    dependencies = [("marketdata", "0002_import_run")]

    operations = [
        migrations.RemoveConstraint(model_name="dataset", name="data_set_kind_known"),
        migrations.AlterField(
            model_name="dataset",
            name="kind",
            field=models.CharField(choices=[(kind, kind) for kind in KINDS], max_length=16),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(condition=models.Q(("kind__in", KINDS)), name="data_set_kind_known"),
        ),
    ]
