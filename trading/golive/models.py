"""The go-live gate's answers, and the days on which a person let it be skipped.  Rows are written once, never changed.

One table for both rulebooks: MES-GATE and MOEX-GATE differ in their rows, not in what a report is.  Written by
`golive.reports` and `golive.overrides` alone.
"""

from django.db import models
from django.db.models import Q

from trading.models import VENUES, Account, one_of

GATES = [("mes", "MES-GATE"), ("moex", "MOEX-GATE")]
SKIPPABLE = [row for row in VENUES if row[0] == "moex"]  # MES-GATE has no override


class GateReport(models.Model):
    """One answer of one gate about one lineage.  A report that could not name its lineage never passes.

    `rows`: the verdicts as JSON (`golive.reports.row_values`); `figures`:
    what stands beside them and decides nothing; `inputs`: name → SHA-256 of what it was made of.
    """

    gate = models.CharField(max_length=10, choices=GATES)
    profile = models.CharField(max_length=40)
    lineage = models.CharField(max_length=64, blank=True, help_text="SHA-256; empty: it could not be named")
    account = models.ForeignKey(Account, models.PROTECT, null=True, blank=True, help_text="whose paper trades")
    passed = models.BooleanField()
    rehearsal = models.BooleanField(default=False, help_text="over made-up or replayed markets: never passes")
    rows = models.JSONField()
    figures = models.JSONField(default=dict)
    inputs = models.JSONField(default=dict)
    hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical JSON of all that it says")
    by = models.CharField(max_length=150)
    made_at = models.DateTimeField()

    class Meta:
        constraints = (
            one_of("gate_report_gate_known", "gate", GATES),
            models.CheckConstraint(condition=Q(passed=False) | ~Q(lineage=""), name="gate_report_passed_has_lineage"),
            models.CheckConstraint(condition=Q(passed=False) | Q(rehearsal=False), name="gate_report_no_rehearsal"),
        )
        indexes = (models.Index(fields=("gate", "lineage", "-made_at"), name="gate_report_newest"),)

    def __str__(self) -> str:
        return f"{self.gate} gate of {self.profile}, {'passed' if self.passed else 'not passed'}"


class GateOverride(models.Model):
    """A person's word that the gate be skipped on one trading day of one market (MOEX-GATE-03).  Nothing extends it."""

    venue = models.CharField(max_length=10, choices=SKIPPABLE)
    trading_day = models.PositiveIntegerField(help_text="YYYYMMDD of the venue's calendar")
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    made_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("venue", "trading_day"), name="gate_override_once_a_day"),
            one_of("gate_override_venue_known", "venue", SKIPPABLE),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(by=""), name="gate_override_by_somebody"),
        )

    def __str__(self) -> str:
        return f"{self.venue} {self.trading_day} by {self.by}"
