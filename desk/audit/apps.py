"""The audit log as a Django app: an append-only, hash-chained list of who did what and what followed."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "desk.audit"
    label = "audit"
    verbose_name = "Audit"
