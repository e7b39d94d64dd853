"""An order names who is answerable for it and what scored; a session what a person stated of its account (P-22)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("trading", "0004_move_leg")]

    operations = [
        migrations.AddField(
            model_name="session",
            name="stated",
            field=models.JSONField(
                blank=True, default=dict, help_text="figures that a person stated for what nobody could read, in micros"
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="scorer",
            field=models.CharField(
                blank=True,
                default="",
                help_text="what scored: its name, and the hash of its artifact or of the code",
                max_length=120,
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="by",
            field=models.CharField(blank=True, default="", help_text="who started the session", max_length=150),
        ),
    ]
