"""What history the store holds, and the imports that a page asked for.

A `DataSet` stands for one complete file; a file without a row is not part of the store.  It is written by
`marketdata.services` alone, an `ImportRun` by `marketdata.imports` alone.
"""

from django.db import models
from django.db.models import Q

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


class ImportRun(models.Model):
    """One import as a batch job: of which file, how far it is, what came of it."""

    folder = models.CharField(max_length=300, help_text="one of the folders that the desk may read")
    file = models.CharField(max_length=500, help_text="the file's place in it")
    symbol = models.CharField(max_length=16)
    schema = models.CharField(max_length=16, blank=True)
    options = models.JSONField(default=dict)
    asked = models.CharField(max_length=64, help_text="sha256 over the five above: what is asked for")
    by = models.CharField(max_length=150)
    state = models.CharField(max_length=10, choices=STATES, default=WAITING)
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    beat_at = models.DateTimeField(help_text="last sign of life of whoever has it")
    finished_at = models.DateTimeField(null=True, blank=True)
    done = models.BigIntegerField(default=0, help_text="rows of the source read so far, with those of a stopped import")
    total = models.BigIntegerField(default=0, help_text="rows as they were estimated")
    rate = models.BigIntegerField(default=0, help_text="rows a second")
    cancel_asked_by = models.CharField(max_length=150, blank=True)
    detail = models.CharField(max_length=1000, blank=True, help_text="why it failed or ended early")
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
