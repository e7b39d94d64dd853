"""A transfer is asked for like a command, so that it is booked once."""

from django.db import migrations, models

KINDS = [
    ("start", "Start"),
    ("pause", "Pause"),
    ("resume", "Resume"),
    ("cancel_all", "Cancel all"),
    ("flatten", "Flatten"),
    ("stop", "Stop"),
    ("kill", "Kill"),
    ("reset_halt", "Reset halt"),
    ("lock", "Lock"),
    ("presence", "Presence"),
    ("move_stop", "Move stop"),
    ("move_target", "Move target"),
    ("transfer", "Transfer"),
]


class Migration(migrations.Migration):
    dependencies = [("trading", "0006_order_types")]

    operations = [
        migrations.RemoveConstraint(model_name="command", name="command_kind_known"),
        migrations.AlterField(model_name="command", name="kind", field=models.CharField(choices=KINDS, max_length=12)),
        migrations.AddConstraint(
            model_name="command",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", [kind for kind, _ in KINDS])), name="command_kind_known"
            ),
        ),
    ]
