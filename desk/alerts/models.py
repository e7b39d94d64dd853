"""The database's copy of the alerts, for the page and the acknowledgement.

The book in the runtime folder (`book.py`) is the original: an alert is sent whether this table can be written or not.
Written by `mirror`, acknowledged by `pages`; times named `_at` are the wall clock, `_us` session time.
"""

from django.db import models
from django.db.models import Q

from desk.alerts.kinds import SEVERITIES

SEVERITY_CHOICES = [(name, name.capitalize()) for name in SEVERITIES]


class Alert(models.Model):
    """One thing that somebody must hear of.  `sent_through`: names of the channels that took it, in order."""

    uid = models.CharField(max_length=120, unique=True)
    raised_at = models.DateTimeField()
    severity = models.CharField(max_length=10, choices=SEVERITY_CHOICES)
    kind = models.CharField(max_length=60)
    session = models.BigIntegerField(default=0, help_text="number of the session, 0: the desk itself")
    text = models.CharField(max_length=500)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    sent_through = models.JSONField(default=list)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(severity__in=SEVERITIES), name="alert_severity_known"),
            models.CheckConstraint(
                condition=Q(acknowledged_at=None, acknowledged_by="")
                | (Q(acknowledged_at__isnull=False) & ~Q(acknowledged_by="")),
                name="alert_acknowledged_by_somebody",
            ),
        )
        indexes = (models.Index(fields=("acknowledged_at", "-id"), name="alert_open_first"),)

    def __str__(self) -> str:
        return f"{self.severity} {self.kind}"
