"""Overrides of a rule of the gate by two persons as a Django app of its own: a table, and its services (P-27)."""

from django.apps import AppConfig


class OverridesConfig(AppConfig):
    name = "trading.overrides"
    label = "overrides"
    verbose_name = "Overrides"
    default_auto_field = "django.db.models.BigAutoField"
