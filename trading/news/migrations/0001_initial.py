"""The operator's event list."""

from django.db import migrations, models

VENUES = [("cme", "CME"), ("moex", "MOEX")]


class Migration(migrations.Migration):
    initial = True
    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="NewsWindow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("venue", models.CharField(choices=VENUES, max_length=10)),
                ("starts_ns", models.BigIntegerField()),
                ("ends_ns", models.BigIntegerField()),
                ("title", models.CharField(max_length=120)),
                ("source", models.CharField(help_text="page, shell, or the file that it came from", max_length=200)),
                ("by", models.CharField(max_length=150)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["venue", "ends_ns"], name="news_not_over")],
                "constraints": [
                    models.UniqueConstraint(fields=("venue", "starts_ns", "ends_ns", "title"), name="news_window_once"),
                    models.CheckConstraint(
                        condition=models.Q(("ends_ns__gt", models.F("starts_ns"))), name="news_ends_after_start"
                    ),
                    models.CheckConstraint(condition=models.Q(("title", ""), _negated=True), name="news_has_title"),
                    models.CheckConstraint(
                        condition=models.Q(("venue__in", [venue for venue, _ in VENUES])), name="news_venue_known"
                    ),
                ],
            },
        ),
    ]
