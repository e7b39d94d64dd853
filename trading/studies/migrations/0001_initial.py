"""Studies that workers share: the study, their slots, its trials."""

import django.db.models.deletion
from django.db import migrations, models

RUN_STATES = [("open", "Open"), ("closed", "Closed")]
TRIAL_STATES = [("waiting", "Waiting"), ("claimed", "Claimed"), ("done", "Done"), ("failed", "Failed")]


def key_field() -> tuple[str, models.BigAutoField]:
    return ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="StudyRun",
            fields=[
                key_field(),
                ("key", models.CharField(help_text="SHA-256 of what is searched", max_length=64, unique=True)),
                (
                    "subject",
                    models.TextField(help_text="what a worker must know to run a trial: JSON, as it was written"),
                ),
                ("state", models.CharField(choices=RUN_STATES, default="closed", max_length=10)),
                (
                    "owner",
                    models.CharField(
                        blank=True, help_text="machine and folder of the command that has it open", max_length=700
                    ),
                ),
                ("fence", models.BigIntegerField(default=0)),
                (
                    "lease_s",
                    models.PositiveSmallIntegerField(
                        help_text="seconds without a sign of life after which somebody is gone"
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("open", "closed"))), name="study_run_state_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("fence__gte", 0), ("lease_s__gt", 0)), name="study_run_figures_sane"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StudyHand",
            fields=[
                key_field(),
                ("number", models.PositiveSmallIntegerField()),
                ("owner", models.CharField(blank=True, help_text="machine and process", max_length=200)),
                ("fence", models.BigIntegerField(default=0)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "done",
                    models.BigIntegerField(default=0, help_text="trials that were answered from this place"),
                ),
                (
                    "detail",
                    models.CharField(blank=True, help_text="why the last one that came could not work", max_length=500),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="hands", to="studies.studyrun"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("run", "number"), name="study_hand_once"),
                    models.CheckConstraint(
                        condition=models.Q(("done__gte", 0), ("fence__gte", 0)), name="study_hand_figures_sane"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StudyTrial",
            fields=[
                key_field(),
                ("stage", models.CharField(max_length=100)),
                ("kind", models.CharField(max_length=20)),
                ("point", models.CharField(help_text="places in the parameters' values, JSON", max_length=400)),
                ("first", models.BigIntegerField(help_text="first row of the bars that is traded")),
                ("end", models.BigIntegerField(help_text="row behind the last one")),
                (
                    "trades_min",
                    models.IntegerField(help_text="fewer are infeasible; null: the study's own number", null=True),
                ),
                ("state", models.CharField(choices=TRIAL_STATES, default="waiting", max_length=10)),
                ("number", models.PositiveSmallIntegerField(null=True)),
                ("fence", models.BigIntegerField(default=0)),
                (
                    "tries",
                    models.PositiveSmallIntegerField(default=0, help_text="workers that were lost while they ran it"),
                ),
                ("answer", models.BinaryField(help_text="the trial (trading.run.search.parcel)", null=True)),
                ("why", models.TextField(blank=True, help_text="why it broke off")),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="trials", to="studies.studyrun"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["run", "state", "id"], name="study_trial_next")],
                "constraints": [
                    models.UniqueConstraint(fields=("run", "stage", "point"), name="study_trial_once"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("waiting", "claimed", "done", "failed"))),
                        name="study_trial_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "done"), _negated=True), ("answer__isnull", False), _connector="OR"
                        ),
                        name="study_trial_answered",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "claimed"), _negated=True), ("number__isnull", False), _connector="OR"
                        ),
                        name="study_trial_held",
                    ),
                ],
            },
        ),
    ]
