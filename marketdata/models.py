"""What history the store holds, and the imports and purchases that a page asked for.

A `DataSet` stands for one complete file; a file without a row is not part of the store.  It is written by
`marketdata.services` alone, an `ImportRun` by `marketdata.imports`, a `VendorRun` by `marketdata.jobs.purchases` alone.
"""

from datetime import datetime, timedelta
from typing import Self

from django.apps import apps
from django.db import models
from django.db.models import Max, Q
from django.utils import timezone

from marketdata.store.report import KINDS

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
STATES = [(name, name.capitalize()) for name in (WAITING, RUNNING, DONE, FAILED, CANCELLED)]
OPEN = (WAITING, RUNNING)


class DataSet(models.Model):
    """One import: checked, immutable, named by the hash of its source.  `path` is the manifest of bars, or the file."""

    path = models.CharField(max_length=500, unique=True, help_text="relative to the runtime folder")
    kind = models.CharField(max_length=16, choices=[(kind, kind) for kind in KINDS])
    symbols = models.JSONField(help_text="list of symbols")
    bar_ns = models.BigIntegerField(default=0, help_text="length of a bar; 0 for recordings of events")
    rows = models.BigIntegerField(help_text="bars or events")
    first_ns = models.BigIntegerField(help_text="start of the first bar, or time of the first event, ns UTC")
    last_ns = models.BigIntegerField()
    source = models.CharField(max_length=255, help_text="name of the file that was imported")
    source_hash = models.CharField(max_length=64, help_text="its sha256")
    request = models.JSONField(help_text="symbol, schema and options of the import")
    report = models.JSONField(help_text="rows read, dropped by reason, examples")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True, help_text="who imported it first")

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=KINDS), name="data_set_kind_known"),
            models.CheckConstraint(condition=Q(rows__gt=0), name="data_set_not_empty"),
            models.CheckConstraint(condition=Q(last_ns__gte=models.F("first_ns")), name="data_set_time_runs"),
        ]

    def __str__(self) -> str:
        return f"{', '.join(self.symbols)} {self.kind}, {self.rows} rows ({self.source})"


class BatchRow(models.Model):
    """A job of the batch worker, which does one after another.  The row is the job's only voice, and a page polls it.

    Whoever has a job shows a sign of life; one without is shown as failed, and closed by the next who asks.  Written by
    `marketdata.services` and by the module of the job.
    """

    LOST_S = 300  # without a sign of life for so long it has lost its process, or its database
    QUEUE_S = 1800  # with nothing before it for so long: a drill may be, which keeps no such row
    ENDED = "its process ended without a result"
    DETAIL_MAX = 1000

    asked = models.CharField(max_length=64, help_text="sha256 of all that is asked for")
    by = models.CharField(max_length=150)
    state = models.CharField(max_length=10, choices=STATES, default=WAITING)
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    beat_at = models.DateTimeField(help_text="last sign of life of whoever has it")
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_asked_by = models.CharField(max_length=150, blank=True)
    detail = models.CharField(max_length=DETAIL_MAX, blank=True, help_text="why it failed or ended early")

    class Meta:
        abstract = True

    @property
    def title(self) -> str:
        """What it is, for who waits behind it."""
        return str(self)

    def lost(self) -> str:
        """Why nobody has this open job any more; empty while somebody does, or may yet."""
        now = timezone.now()
        if self.state == RUNNING and self.beat_at < now - timedelta(seconds=self.LOST_S):
            return self.ENDED
        if self.state == WAITING and self._free_since() < now - timedelta(seconds=self.QUEUE_S):
            return "no batch worker took it: is the desk running?"
        return ""

    def looked(self) -> Self:
        """The job as it is shown: one that lost its process is failed.  Nothing is written."""
        if why := self.lost():
            self.state, self.detail = FAILED, why
        return self

    def silent_s(self) -> int:
        """Seconds since a job at work gave its last sign of life; 0 for any other."""
        return max(0, int((timezone.now() - self.beat_at).total_seconds())) if self.state == RUNNING else 0

    def _free_since(self) -> datetime:
        """Since when no job, of whatever kind, was before this one."""
        moments = [self.asked_at]
        for kind in batch_kinds():
            rows = kind._default_manager.all()
            if kind is type(self):
                rows = rows.exclude(pk=self.pk)
            found = rows.aggregate(beat=Max("beat_at", filter=Q(state=RUNNING)), end=Max("finished_at"))
            moments += [moment for moment in found.values() if moment is not None]
        return max(moments)


def batch_kinds() -> list[type[BatchRow]]:
    """Every kind of job that stands in the one queue, those of higher floors too."""
    return [kind for kind in apps.get_models() if issubclass(kind, BatchRow)]


class ImportRun(BatchRow):
    """One import as a batch job: of which file, how far it is, what came of it."""

    GO_ON = "what it has finished is kept: go on with it"
    ENDED = f"{BatchRow.ENDED}; {GO_ON}"

    folder = models.CharField(max_length=300, help_text="one of the folders that the desk may read")
    file = models.CharField(max_length=500, help_text="the file's place in it")
    symbol = models.CharField(max_length=16)
    schema = models.CharField(max_length=16, blank=True)
    options = models.JSONField(default=dict)
    asked = models.CharField(max_length=64, help_text="sha256 over the five above: what is asked for")
    done = models.BigIntegerField(default=0, help_text="rows of the source read so far, with those of a stopped import")
    total = models.BigIntegerField(default=0, help_text="rows as they were estimated")
    rate = models.BigIntegerField(default=0, help_text="rows a second")
    data_set = models.ForeignKey(DataSet, models.SET_NULL, null=True, blank=True, related_name="imports")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[name for name, _ in STATES]), name="import_state_known"),
            models.CheckConstraint(condition=Q(done__gte=0, total__gte=0, rate__gte=0), name="import_figures_sane"),
            models.UniqueConstraint(fields=("asked",), condition=Q(state__in=OPEN), name="import_one_open_per_request"),
        )
        indexes = (models.Index(fields=("state", "-id"), name="import_latest"),)

    def __str__(self) -> str:
        return f"import of {self.file} as {self.symbol}, {self.state}"

    @property
    def title(self) -> str:
        return f"import {self.pk}, {self.file}"


class VendorRun(BatchRow):
    """A look at a vendor's prices, or a purchase of what was priced and confirmed, as a batch job.

    Written by `marketdata.jobs.purchases`.
    """

    PRICE, PURCHASE = "price", "purchase"
    GO_ON = "the months that were bought are kept: go on with it"

    purpose = models.CharField(max_length=10, choices=[(name, name) for name in (PRICE, PURCHASE)])
    dataset = models.CharField(max_length=24)
    schema = models.CharField(max_length=16)
    symbol = models.CharField(max_length=24)
    start = models.CharField(max_length=10, blank=True, help_text="first UTC day as asked")
    end = models.CharField(max_length=10, blank=True, help_text="UTC day after the last as asked")
    plan = models.JSONField(default=dict, help_text="months that were missing, each with its price")
    priced = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="purchases")
    cap_micros = models.BigIntegerField(help_text="most that it may cost, US dollars x 1e6")
    spent_micros = models.BigIntegerField(default=0, help_text="may have been billed, those before it too")
    step = models.CharField(max_length=24, blank=True, help_text="what it is at")
    done = models.BigIntegerField(default=0, help_text="of the present step")
    total = models.BigIntegerField(default=0, help_text="of the present step")
    rate = models.BigIntegerField(default=0, help_text="a second")
    report = models.JSONField(default=dict, help_text="what was verified, a row a file")
    data_set = models.ForeignKey(DataSet, models.SET_NULL, null=True, blank=True, related_name="purchases")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[name for name, _ in STATES]), name="vendor_run_state_known"),
            models.CheckConstraint(
                condition=Q(cap_micros__gte=0, spent_micros__gte=0, done__gte=0, total__gte=0, rate__gte=0),
                name="vendor_run_figures_sane",
            ),
            models.CheckConstraint(
                condition=Q(purpose="price") | Q(priced__isnull=False), name="vendor_run_was_priced"
            ),
            models.UniqueConstraint(
                fields=("asked",), condition=Q(state__in=OPEN), name="vendor_run_one_open_per_request"
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose} of {self.symbol} {self.schema}, {self.state}"

    @property
    def title(self) -> str:
        return f"{self.purpose} {self.pk}, {self.symbol} {self.schema}"

    @property
    def instead(self) -> str:
        """What to do when it failed by no fault of the request."""
        return self.GO_ON if self.purpose == self.PURCHASE else "ask for the price again"

    def lost(self) -> str:
        why = super().lost()
        return f"{why}; {self.instead}" if why == self.ENDED else why
