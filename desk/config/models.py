"""Runs of the impact preview: what was asked, how far it is, and what came out (N8).

A row is written by the page that asks and by the batch job that replays; nothing of it changes once it has ended.
"""

from django.db import models
from django.db.models import Q

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
STATES = [(name, name.capitalize()) for name in (WAITING, RUNNING, DONE, FAILED, CANCELLED)]
OPEN = (WAITING, RUNNING)


class ImpactRun(models.Model):
    """One preview of one version over the last sessions of its profile."""

    version = models.ForeignKey("trading.ConfigVersion", models.PROTECT, related_name="impact_runs")
    sessions = models.PositiveSmallIntegerField(help_text="how many sessions were asked for")
    by = models.CharField(max_length=150)
    state = models.CharField(max_length=10, choices=STATES, default=WAITING)
    asked_at = models.DateTimeField()
    beat_at = models.DateTimeField(help_text="last sign of life of whoever has it")
    finished_at = models.DateTimeField(null=True, blank=True)
    done = models.PositiveSmallIntegerField(default=0)
    total = models.PositiveSmallIntegerField(default=0)
    step = models.CharField(max_length=100, blank=True)
    detail = models.CharField(max_length=500, blank=True, help_text="why it failed or ended early")
    code = models.CharField(max_length=64, help_text="hash of the code that replayed")
    result = models.JSONField(default=dict)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[name for name, _ in STATES]), name="impact_state_known"),
            models.CheckConstraint(condition=Q(sessions__gte=1, sessions__lte=20), name="impact_sessions_bounded"),
            models.UniqueConstraint(
                fields=("version",), condition=Q(state__in=OPEN), name="impact_one_open_per_version"
            ),
        )
        indexes = (models.Index(fields=("version", "-id"), name="impact_latest"),)

    def __str__(self) -> str:
        return f"impact of {self.version_id}, {self.state}"
