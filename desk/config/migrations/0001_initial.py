import django.db.models.deletion
from django.db import migrations, models

STATES = [
    ("waiting", "Waiting"),
    ("running", "Running"),
    ("done", "Done"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
]


class Migration(migrations.Migration):
    initial = True

    dependencies = [("trading", "0002_rulebook")]

    operations = [
        migrations.CreateModel(
            name="ImpactRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sessions", models.PositiveSmallIntegerField(help_text="how many sessions were asked for")),
                ("by", models.CharField(max_length=150)),
                ("state", models.CharField(choices=STATES, default="waiting", max_length=10)),
                ("asked_at", models.DateTimeField()),
                ("beat_at", models.DateTimeField(help_text="last sign of life of whoever has it")),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("done", models.PositiveSmallIntegerField(default=0)),
                ("total", models.PositiveSmallIntegerField(default=0)),
                ("step", models.CharField(blank=True, max_length=100)),
                ("detail", models.CharField(blank=True, help_text="why it failed or ended early", max_length=500)),
                ("code", models.CharField(help_text="hash of the code that replayed", max_length=64)),
                ("result", models.JSONField(default=dict)),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="impact_runs",
                        to="trading.configversion",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["version", "-id"], name="impact_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", [name for name, _ in STATES])), name="impact_state_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("sessions__gte", 1), ("sessions__lte", 20)), name="impact_sessions_bounded"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("waiting", "running"))),
                        fields=("version",),
                        name="impact_one_open_per_version",
                    ),
                ],
            },
        ),
    ]
