"""Two persons let one refusing rule of the gate pass once."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("trading", "0010_override")]

    operations = [
        migrations.CreateModel(
            name="OverrideRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("instrument", models.PositiveSmallIntegerField(help_text="place in the session's table")),
                ("symbol", models.CharField(max_length=20)),
                ("code", models.PositiveSmallIntegerField(help_text="reason of the gate that is let pass")),
                ("asked_by", models.CharField(max_length=150)),
                ("reason", models.CharField(max_length=500)),
                ("asked_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("agreed_by", models.CharField(blank=True, default="", max_length=150)),
                ("agreed_reason", models.CharField(blank=True, default="", max_length=500)),
                ("agreed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "command_ref",
                    models.BigIntegerField(blank=True, help_text="the command that opened it", null=True, unique=True),
                ),
                (
                    "until_ns",
                    models.BigIntegerField(blank=True, help_text="its end by the session's clock, ns UTC", null=True),
                ),
                (
                    "unused_at",
                    models.DateTimeField(
                        blank=True, help_text="when its end was noted, nothing having used it", null=True
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="override_requests",
                        to="trading.session",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["session", "-id"], name="override_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("asked_by", ""), _negated=True), models.Q(("reason", ""), _negated=True)
                        ),
                        name="override_asked_by_somebody",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("agreed_by", models.F("asked_by")), _negated=True),
                        name="override_two_persons",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("agreed_at", None),
                                ("agreed_by", ""),
                                ("command_ref", None),
                                ("until_ns", None),
                                ("unused_at", None),
                            ),
                            models.Q(
                                ("agreed_at__isnull", False),
                                ("command_ref__isnull", False),
                                ("until_ns__isnull", False),
                                models.Q(("agreed_by", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="override_agreed_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("expires_at__gt", models.F("asked_at"))), name="override_expires"
                    ),
                ],
            },
        ),
    ]
