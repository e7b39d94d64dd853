"""End-of-day statements, their differences, and who settled them."""

import django.db.models.deletion
from django.db import migrations, models

KINDS = ("order", "fill", "fees", "balance", "position")
KEY = {"auto_created": True, "primary_key": True, "serialize": False, "verbose_name": "ID"}


class Migration(migrations.Migration):
    initial = True
    dependencies = [("trading", "0009_controls")]

    operations = [
        migrations.CreateModel(
            name="Statement",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("trading_day", models.PositiveIntegerField(help_text="YYYYMMDD; 0 where no day is known")),
                ("final", models.BooleanField(help_text="nothing of the session comes after it")),
                (
                    "current",
                    models.BooleanField(default=True, help_text="no later statement of the day replaces it"),
                ),
                (
                    "source",
                    models.CharField(help_text="the venue, or the file that it was imported from", max_length=200),
                ),
                ("sha256", models.CharField(blank=True, max_length=64)),
                (
                    "to_ref",
                    models.BigIntegerField(
                        help_text="last of the venue's own numbers in it; empty: to the end", null=True
                    ),
                ),
                ("orders", models.JSONField(default=list, help_text="numbers of its orders")),
                ("fills", models.PositiveIntegerField(default=0)),
                ("closing_micros", models.BigIntegerField(null=True)),
                ("fault", models.CharField(blank=True, max_length=300)),
                ("by", models.CharField(max_length=150)),
                ("taken_at", models.DateTimeField()),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="statements", to="trading.session"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("current", True)),
                        fields=("session", "trading_day"),
                        name="statement_one_current_per_day",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("sha256", ""), _negated=True),
                            models.Q(("fault", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="statement_has_file_or_fault",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Difference",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("kind", models.CharField(max_length=10)),
                ("about", models.CharField(max_length=60)),
                ("venue", models.CharField(blank=True, max_length=200)),
                ("desk", models.CharField(blank=True, max_length=200)),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="differences",
                        to="statements.statement",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("kind__in", KINDS)), name="difference_kind_known"),
                    models.CheckConstraint(
                        condition=models.Q(("venue", models.F("desk")), _negated=True), name="difference_differs"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Settlement",
            fields=[
                ("id", models.BigAutoField(**KEY)),
                ("by", models.CharField(max_length=150)),
                ("reason", models.CharField(max_length=500)),
                ("at", models.DateTimeField()),
                (
                    "statement",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="settlement",
                        to="statements.statement",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="settlement_has_reason"
                    )
                ],
            },
        ),
    ]
