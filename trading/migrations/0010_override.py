"""A command more, and the decision says which rule two persons let pass, by which command."""

from django.db import migrations, models

NAMES = """start pause resume cancel_all flatten stop kill reset_halt lock presence move_stop move_target override
transfer"""
KINDS = [(name, name.replace("_", " ").capitalize()) for name in NAMES.split()]


class Migration(migrations.Migration):
    dependencies = [("trading", "0009_controls")]

    operations = [
        migrations.RemoveConstraint(model_name="command", name="command_kind_known"),
        migrations.AlterField(model_name="command", name="kind", field=models.CharField(choices=KINDS, max_length=12)),
        migrations.AddConstraint(
            model_name="command",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", [kind for kind, _ in KINDS])), name="command_kind_known"
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="passed",
            field=models.SmallIntegerField(default=0, help_text="reason that two persons let pass, 0 = none"),
        ),
        migrations.AddField(
            model_name="decision",
            name="override_ref",
            field=models.BigIntegerField(default=0, help_text="their command"),
        ),
    ]
