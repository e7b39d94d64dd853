"""The audit log: rows that are only ever appended, each carrying the hash of the one before.

Written by `services.append` and `follower` alone; the model refuses every change and deletion, and `verify_audit`
finds those made behind its back.
"""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q

CATEGORIES = [
    (name, name.capitalize())
    for name in ("session", "command", "order", "hold", "config", "security", "control", "recovery")
]


class AuditChanged(RuntimeError):
    """Somebody tried to change or delete an audit row."""


class AuditRecord(models.Model):
    """One line.  `hash` = SHA-256 of `prev_hash` and the canonical JSON of the other fields."""

    seq = models.BigIntegerField(unique=True)
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    category = models.CharField(max_length=12, choices=CATEGORIES)
    action = models.CharField(max_length=40)
    actor = models.CharField(max_length=150)
    object = models.CharField(max_length=120, blank=True)
    detail = models.JSONField(default=dict)
    ts_ns = models.BigIntegerField(
        help_text="wall clock, ns UTC; rows from a journal carry their session time in `detail`"
    )

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(seq__gte=1), name="audit_seq_from_one"),
            models.CheckConstraint(
                condition=Q(category__in=[value for value, _ in CATEGORIES]), name="audit_category_known"
            ),
        )
        indexes = (models.Index(fields=("category", "-seq"), name="audit_by_category"),)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AuditChanged(f"audit row {self.seq} never changes")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditChanged(f"audit row {self.seq} is never deleted")

    def __str__(self) -> str:
        return f"{self.seq} {self.category} {self.action}"
