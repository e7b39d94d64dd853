"""Floor 3 as a Django app: what we do.  Its admin, tasks and models are found by their names."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"
    label = "trading"
    verbose_name = "Trading"
