"""Reports of the go-live gate, and the days on which it may be skipped."""

import django.db.models.deletion
from django.db import migrations, models

GATES = [("mes", "MES-GATE"), ("moex", "MOEX-GATE")]
SKIPPABLE = [("moex", "MOEX")]


class Migration(migrations.Migration):
    initial = True
    dependencies = [("trading", "0009_controls")]

    operations = [
        migrations.CreateModel(
            name="GateReport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("gate", models.CharField(choices=GATES, max_length=10)),
                ("profile", models.CharField(max_length=40)),
                (
                    "lineage",
                    models.CharField(blank=True, help_text="SHA-256; empty: it could not be named", max_length=64),
                ),
                ("passed", models.BooleanField()),
                (
                    "rehearsal",
                    models.BooleanField(default=False, help_text="over made-up or replayed markets: never passes"),
                ),
                ("rows", models.JSONField()),
                ("figures", models.JSONField(default=dict)),
                ("inputs", models.JSONField(default=dict)),
                (
                    "hash",
                    models.CharField(help_text="SHA-256 of the canonical JSON of all that it says", max_length=64),
                ),
                ("by", models.CharField(max_length=150)),
                ("made_at", models.DateTimeField()),
                (
                    "account",
                    models.ForeignKey(
                        blank=True,
                        help_text="whose paper trades",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="trading.account",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["gate", "lineage", "-made_at"], name="gate_report_newest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("gate__in", [gate for gate, _ in GATES])), name="gate_report_gate_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("passed", False), models.Q(("lineage", ""), _negated=True), _connector="OR"
                        ),
                        name="gate_report_passed_has_lineage",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("passed", False), ("rehearsal", False), _connector="OR"),
                        name="gate_report_no_rehearsal",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="GateOverride",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("venue", models.CharField(choices=SKIPPABLE, max_length=10)),
                ("trading_day", models.PositiveIntegerField(help_text="YYYYMMDD of the venue's calendar")),
                ("by", models.CharField(max_length=150)),
                ("reason", models.CharField(max_length=500)),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("venue", "trading_day"), name="gate_override_once_a_day"),
                    models.CheckConstraint(
                        condition=models.Q(("venue__in", [venue for venue, _ in SKIPPABLE])),
                        name="gate_override_venue_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("reason", ""), _negated=True), models.Q(("by", ""), _negated=True)
                        ),
                        name="gate_override_by_somebody",
                    ),
                ],
            },
        ),
    ]
