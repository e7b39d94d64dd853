from django.db import migrations, models

KINDS = ("bars", "mbo", "mbp-10", "trades", "bbo-1s", "books", "definition")
STATES = [
    ("waiting", "Waiting"),
    ("running", "Running"),
    ("done", "Done"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
]


class Migration(migrations.Migration):
    """Two more kinds of data sets, and looks at a vendor's prices and purchases as batch jobs."""

    dependencies = [("marketdata", "0003_books")]

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
        migrations.CreateModel(
            name="VendorRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asked", models.CharField(help_text="sha256 of all that is asked for", max_length=64)),
                ("by", models.CharField(max_length=150)),
                ("state", models.CharField(choices=STATES, default="waiting", max_length=10)),
                ("asked_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("beat_at", models.DateTimeField(help_text="last sign of life of whoever has it")),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("cancel_asked_by", models.CharField(blank=True, max_length=150)),
                ("detail", models.CharField(blank=True, help_text="why it failed or ended early", max_length=1000)),
                (
                    "purpose",
                    models.CharField(choices=[("price", "price"), ("purchase", "purchase")], max_length=10),
                ),
                ("dataset", models.CharField(max_length=24)),
                ("schema", models.CharField(max_length=16)),
                ("symbol", models.CharField(max_length=24)),
                ("start", models.CharField(blank=True, help_text="first UTC day as asked", max_length=10)),
                ("end", models.CharField(blank=True, help_text="UTC day after the last as asked", max_length=10)),
                ("plan", models.JSONField(default=dict, help_text="months that were missing, each with its price")),
                ("cap_micros", models.BigIntegerField(help_text="most that it may cost, US dollars x 1e6")),
                (
                    "spent_micros",
                    models.BigIntegerField(default=0, help_text="may have been billed, those before it too"),
                ),
                ("step", models.CharField(blank=True, help_text="what it is at", max_length=24)),
                ("done", models.BigIntegerField(default=0, help_text="of the present step")),
                ("total", models.BigIntegerField(default=0, help_text="of the present step")),
                ("rate", models.BigIntegerField(default=0, help_text="a second")),
                ("report", models.JSONField(default=dict, help_text="what was verified, a row a file")),
                (
                    "data_set",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.deletion.SET_NULL,
                        related_name="purchases",
                        to="marketdata.dataset",
                    ),
                ),
                (
                    "priced",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.deletion.PROTECT,
                        related_name="purchases",
                        to="marketdata.vendorrun",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", [name for name, _ in STATES])), name="vendor_run_state_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("cap_micros__gte", 0),
                            ("done__gte", 0),
                            ("rate__gte", 0),
                            ("spent_micros__gte", 0),
                            ("total__gte", 0),
                        ),
                        name="vendor_run_figures_sane",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("purpose", "price"), ("priced__isnull", False), _connector="OR"),
                        name="vendor_run_was_priced",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("waiting", "running"))),
                        fields=("asked",),
                        name="vendor_run_one_open_per_request",
                    ),
                ],
            },
        ),
    ]
