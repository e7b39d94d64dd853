"""Floor 2 as a Django app: what we may do.  It owns no tables; its section of the configuration is in `schema`."""

from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "risk"
    label = "risk"
    verbose_name = "Risk"
