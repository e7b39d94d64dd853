"""End-of-day statements as a Django app of its own: tables, a command, and the comparison with the ledger (T-03)."""

from django.apps import AppConfig


class StatementsConfig(AppConfig):
    name = "trading.statements"
    label = "statements"
    verbose_name = "End-of-day statements"
    default_auto_field = "django.db.models.BigAutoField"
