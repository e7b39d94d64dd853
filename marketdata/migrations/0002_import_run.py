from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketdata", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="created_by",
            field=models.CharField(blank=True, default="", help_text="who imported it first", max_length=150),
            preserve_default=False,
        ),
        migrations.CreateModel(
            name="ImportRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("folder", models.CharField(help_text="one of the folders that the desk may read", max_length=300)),
                ("file", models.CharField(help_text="the file's place in it", max_length=500)),
                ("symbol", models.CharField(max_length=16)),
                ("schema", models.CharField(blank=True, max_length=16)),
                ("options", models.JSONField(default=dict)),
                ("asked", models.CharField(help_text="sha256 over the five above: what is asked for", max_length=64)),
                ("by", models.CharField(max_length=150)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("asked_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("beat_at", models.DateTimeField(help_text="last sign of life of whoever has it")),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "done",
                    models.BigIntegerField(
                        default=0, help_text="rows of the source read so far, with those of a stopped import"
                    ),
                ),
                ("total", models.BigIntegerField(default=0, help_text="rows as they were estimated")),
                ("rate", models.BigIntegerField(default=0, help_text="rows a second")),
                ("cancel_asked_by", models.CharField(blank=True, max_length=150)),
                ("detail", models.CharField(blank=True, help_text="why it failed or ended early", max_length=1000)),
                (
                    "data_set",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.deletion.SET_NULL,
                        related_name="imports",
                        to="marketdata.dataset",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["state", "-id"], name="import_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["waiting", "running", "done", "failed", "cancelled"])),
                        name="import_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("done__gte", 0), ("rate__gte", 0), ("total__gte", 0)),
                        name="import_figures_sane",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("waiting", "running"))),
                        fields=("asked",),
                        name="import_one_open_per_request",
                    ),
                ],
            },
        ),
    ]
