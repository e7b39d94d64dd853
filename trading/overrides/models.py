"""Requests to let one refusing rule of the gate pass once (P-27): who asked, for what, why, and who else agreed.

Written by `trading.overrides` alone.  Times are the wall clock, but `until_ns`.  Whether an override was used says the
decision that used it: its row carries the number of the command; one that ended unused has its `unused_at`.
"""

from django.db import models
from django.db.models import F, Q

from trading.models import Session


class OverrideRequest(models.Model):
    """One request.  It is open until `expires_at`; nobody agrees to a request of their own."""

    session = models.ForeignKey(Session, models.PROTECT, related_name="override_requests")
    instrument = models.PositiveSmallIntegerField(help_text="place in the session's table")
    symbol = models.CharField(max_length=20)
    code = models.PositiveSmallIntegerField(help_text="reason of the gate that is let pass")
    asked_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    agreed_by = models.CharField(max_length=150, blank=True, default="")
    agreed_reason = models.CharField(max_length=500, blank=True, default="")
    agreed_at = models.DateTimeField(null=True, blank=True)
    command_ref = models.BigIntegerField(null=True, blank=True, unique=True, help_text="the command that opened it")
    until_ns = models.BigIntegerField(null=True, blank=True, help_text="its end by the session's clock, ns UTC")
    unused_at = models.DateTimeField(null=True, blank=True, help_text="when its end was noted, nothing having used it")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(asked_by="") & ~Q(reason=""), name="override_asked_by_somebody"),
            models.CheckConstraint(condition=~Q(agreed_by=F("asked_by")), name="override_two_persons"),
            models.CheckConstraint(
                condition=Q(agreed_at=None, agreed_by="", command_ref=None, until_ns=None, unused_at=None)
                | (Q(agreed_at__isnull=False, command_ref__isnull=False, until_ns__isnull=False) & ~Q(agreed_by="")),
                name="override_agreed_whole",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("asked_at")), name="override_expires"),
        )
        indexes = (models.Index(fields=("session", "-id"), name="override_latest"),)

    def __str__(self) -> str:
        return f"{self.session_id} {self.symbol} {self.code} asked for by {self.asked_by}"
