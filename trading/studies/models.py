"""The part of a study that several workers share: the study, their slots, and its trials with their answers.

A trial is one row from the moment it is wanted; its answer is written once and stays, so a study whose folder is lost,
or that goes on from another machine, tries nothing again (MES-GUARD-01).  Every time in here is the database's own.
Written by `trading.studies.exchange` alone; studies without workers of the queue never touch it.
"""

from django.db import models
from django.db.models import Q

OPEN, CLOSED = "open", "closed"
RUN_STATES = [(name, name.capitalize()) for name in (OPEN, CLOSED)]
WAITING, CLAIMED, DONE, FAILED = "waiting", "claimed", "done", "failed"
TRIAL_STATES = [(name, name.capitalize()) for name in (WAITING, CLAIMED, DONE, FAILED)]


class StudyRun(models.Model):
    """One study, named by what is searched.  Trials are handed out while it is open and its command gives signs of
    life; the fence grows with every command that opens it."""

    key = models.CharField(max_length=64, unique=True, help_text="SHA-256 of what is searched")
    subject = models.TextField(help_text="what a worker must know to run a trial: JSON, as it was written")
    state = models.CharField(max_length=10, choices=RUN_STATES, default=CLOSED)
    owner = models.CharField(max_length=700, blank=True, help_text="machine and folder of the command that has it open")
    fence = models.BigIntegerField(default=0)
    lease_s = models.PositiveSmallIntegerField(help_text="seconds without a sign of life after which somebody is gone")
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=(OPEN, CLOSED)), name="study_run_state_known"),
            models.CheckConstraint(condition=Q(fence__gte=0, lease_s__gt=0), name="study_run_figures_sane"),
        )

    def __str__(self) -> str:
        return f"study {self.key[:12]}, {self.state}"


class StudyHand(models.Model):
    """One place for a worker.  Whoever holds it claims trials under its fence; `owner` is empty when it is free."""

    run = models.ForeignKey(StudyRun, models.CASCADE, related_name="hands")
    number = models.PositiveSmallIntegerField()
    owner = models.CharField(max_length=200, blank=True, help_text="machine and process")
    fence = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    done = models.BigIntegerField(default=0, help_text="trials that were answered from this place")
    detail = models.CharField(max_length=500, blank=True, help_text="why the last one that came could not work")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("run", "number"), name="study_hand_once"),
            models.CheckConstraint(condition=Q(fence__gte=0, done__gte=0), name="study_hand_figures_sane"),
        )

    def __str__(self) -> str:
        return f"hand {self.number} of study {self.run_id}"


class StudyTrial(models.Model):
    """One trial that is wanted, being run, or answered.  `number` and `fence` name the hand that has claimed it."""

    run = models.ForeignKey(StudyRun, models.CASCADE, related_name="trials")
    stage = models.CharField(max_length=100)
    kind = models.CharField(max_length=20)
    point = models.CharField(max_length=400, help_text="places in the parameters' values, JSON")
    first = models.BigIntegerField(help_text="first row of the bars that is traded")
    end = models.BigIntegerField(help_text="row behind the last one")
    trades_min = models.IntegerField(null=True, help_text="fewer are infeasible; null: the study's own number")
    state = models.CharField(max_length=10, choices=TRIAL_STATES, default=WAITING)
    number = models.PositiveSmallIntegerField(null=True)
    fence = models.BigIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0, help_text="workers that were lost while they ran it")
    answer = models.BinaryField(null=True, help_text="the trial (trading.run.search.parcel)")
    why = models.TextField(blank=True, help_text="why it broke off")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("run", "stage", "point"), name="study_trial_once"),
            models.CheckConstraint(
                condition=Q(state__in=(WAITING, CLAIMED, DONE, FAILED)), name="study_trial_state_known"
            ),
            models.CheckConstraint(condition=~Q(state=DONE) | Q(answer__isnull=False), name="study_trial_answered"),
            models.CheckConstraint(condition=~Q(state=CLAIMED) | Q(number__isnull=False), name="study_trial_held"),
        )
        indexes = (models.Index(fields=("run", "state", "id"), name="study_trial_next"),)

    def __str__(self) -> str:
        return f"{self.stage} {self.point} of study {self.run_id}, {self.state}"
