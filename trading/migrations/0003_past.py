"""A hold that a session brought from the one before names it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("trading", "0002_rulebook")]

    operations = [
        migrations.AddField(
            model_name="holdevent",
            name="source",
            field=models.BigIntegerField(
                default=0, help_text="session that left it standing; 0: it went up in this one"
            ),
        ),
    ]
