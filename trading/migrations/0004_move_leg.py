"""A command may name an instrument: stop and target are moved."""

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
]


class Migration(migrations.Migration):
    dependencies = [("trading", "0003_past")]

    operations = [
        migrations.RemoveConstraint(model_name="command", name="command_kind_known"),
        migrations.AddField(
            model_name="command",
            name="instrument",
            field=models.SmallIntegerField(default=-1, help_text="place in the session's table; -1: the account"),
        ),
        migrations.AlterField(model_name="command", name="kind", field=models.CharField(choices=KINDS, max_length=12)),
        migrations.AddConstraint(
            model_name="command",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", [kind for kind, _ in KINDS])), name="command_kind_known"
            ),
        ),
    ]
