"""Statements of trading days as they were compared with the ledger, each difference, and who settled them (T-03).

Written by `trading.statements.services` alone.  Nothing is changed or taken out but `current`: a later statement of the
same day stands beside the one that it replaces.  The statement itself is a file; the row has its hash.
"""

from django.db import models
from django.db.models import Q

from trading.models import Session

KINDS = ("order", "fill", "fees", "balance", "position")


class Statement(models.Model):
    """One statement of one session's trading day.  `fault`: why there is none, for a day that should have one."""

    session = models.ForeignKey(Session, models.PROTECT, related_name="statements")
    trading_day = models.PositiveIntegerField(help_text="YYYYMMDD; 0 where no day is known")
    final = models.BooleanField(help_text="nothing of the session comes after it")
    current = models.BooleanField(default=True, help_text="no later statement of the day replaces it")
    source = models.CharField(max_length=200, help_text="the venue, or the file that it was imported from")
    sha256 = models.CharField(max_length=64, blank=True)
    to_ref = models.BigIntegerField(null=True, help_text="last of the venue's own numbers in it; empty: to the end")
    orders = models.JSONField(default=list, help_text="numbers of its orders")
    fills = models.PositiveIntegerField(default=0)
    closing_micros = models.BigIntegerField(null=True)
    fault = models.CharField(max_length=300, blank=True)
    by = models.CharField(max_length=150)
    taken_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("session", "trading_day"), condition=Q(current=True), name="statement_one_current_per_day"
            ),
            models.CheckConstraint(condition=~Q(sha256="") | ~Q(fault=""), name="statement_has_file_or_fault"),
        )

    def __str__(self) -> str:
        return f"{self.session.key} {self.trading_day}"


class Difference(models.Model):
    """One thing that venue and desk say differently.  Empty: that side has nothing of it."""

    statement = models.ForeignKey(Statement, models.CASCADE, related_name="differences")
    kind = models.CharField(max_length=10)
    about = models.CharField(max_length=60)
    venue = models.CharField(max_length=200, blank=True)
    desk = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=KINDS), name="difference_kind_known"),
            models.CheckConstraint(condition=~Q(venue=models.F("desk")), name="difference_differs"),
        )


class Settlement(models.Model):
    """A person looked at the differences of one statement and says why the account may trade on."""

    statement = models.OneToOneField(Statement, models.CASCADE, related_name="settlement")
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(reason=""), name="settlement_has_reason"),)
