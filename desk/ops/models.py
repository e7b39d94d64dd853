"""What the desk keeps of its own trials: one row a drill, load, fault or benchmark run, with every figure it gave.

Written by `drills.record` alone while the run lasts; a finished run never changes and is never deleted.  Its hash
stands in the audit log, so a row that was changed behind the desk's back is found.
"""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q

KINDS = [
    ("kill", "Kill matrix"),
    ("rehearsal", "Rehearsal of the kill on this desk"),
    ("load", "Browsers under load"),
    ("faults", "Faults on a running desk"),
    ("bench", "Benchmark"),
]
KILLS = ("kill", "rehearsal")  # kinds that count as a drill of the kill (K-07)


class RunChanged(RuntimeError):
    """Somebody tried to change or delete a finished run."""


class DrillRun(models.Model):
    """One run.  `rows`: [{name, value, unit, goal, ok, detail, …}] in the order in which they came."""

    kind = models.CharField(max_length=12, choices=KINDS)
    by = models.CharField(max_length=150)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField(help_text="last sign of life while it runs")
    finished_at = models.DateTimeField(null=True, blank=True)
    ok = models.BooleanField(null=True, blank=True, help_text="every row ok; empty while it runs")
    cancel_asked_by = models.CharField(max_length=150, blank=True)
    cancelled = models.BooleanField(default=False)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0, help_text="cases in all; 0 = unknown")
    step = models.CharField(max_length=200, blank=True, help_text="what it does now")
    detail = models.CharField(max_length=500, blank=True, help_text="why it failed, or what a reader must know")
    head = models.JSONField(default=dict, help_text="what it ran with: options, profile and its hash, machine")
    rows = models.JSONField(default=list)
    code = models.CharField(max_length=64, help_text="hash of the code that was tried")
    pid = models.BigIntegerField(default=0, help_text="process that runs it; 0 = waits for a worker")
    boot_id = models.CharField(max_length=40, blank=True, help_text="the boot of the machine that the pid belongs to")
    hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of what the finished run says")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=[kind for kind, _ in KINDS]), name="run_kind_known"),
            models.CheckConstraint(
                condition=Q(finished_at=None, ok=None) | Q(finished_at__isnull=False, ok__isnull=False),
                name="run_verdict_when_finished",
            ),
            models.UniqueConstraint(fields=("boot_id",), condition=Q(finished_at=None), name="run_one_at_a_time"),
        )
        indexes = (models.Index(fields=("kind", "-id"), name="run_latest"),)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise RunChanged(f"run {self.pk} is written by its own process alone")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RunChanged(f"run {self.pk} is never deleted")

    def __str__(self) -> str:
        return f"{self.kind} {self.started_at:%Y-%m-%d %H:%M}"
