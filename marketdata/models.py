"""What history the store holds.  A row stands for one complete file; a file without a row is not part of the store.

Written by `marketdata.services` alone.
"""

from django.db import models

from marketdata.store.report import KINDS


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

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=KINDS), name="data_set_kind_known"),
            models.CheckConstraint(condition=models.Q(rows__gt=0), name="data_set_not_empty"),
            models.CheckConstraint(condition=models.Q(last_ns__gte=models.F("first_ns")), name="data_set_time_runs"),
        ]

    def __str__(self) -> str:
        return f"{', '.join(self.symbols)} {self.kind}, {self.rows} rows ({self.source})"
