"""The alerts."""

from django.db import migrations, models

SEVERITIES = ("urgent", "warning", "note")


class Migration(migrations.Migration):
    initial = True
    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.CharField(max_length=120, unique=True)),
                ("raised_at", models.DateTimeField()),
                (
                    "severity",
                    models.CharField(choices=[(name, name.capitalize()) for name in SEVERITIES], max_length=10),
                ),
                ("kind", models.CharField(max_length=60)),
                (
                    "session",
                    models.BigIntegerField(default=0, help_text="number of the session, 0: the desk itself"),
                ),
                ("text", models.CharField(max_length=500)),
                ("first_sent_at", models.DateTimeField(blank=True, null=True)),
                ("sent_through", models.JSONField(default=list)),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                ("acknowledged_by", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "indexes": [models.Index(fields=["acknowledged_at", "-id"], name="alert_open_first")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("severity__in", SEVERITIES)), name="alert_severity_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("acknowledged_at", None), ("acknowledged_by", "")),
                            models.Q(
                                ("acknowledged_at__isnull", False),
                                models.Q(("acknowledged_by", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="alert_acknowledged_by_somebody",
                    ),
                ],
            },
        ),
    ]
