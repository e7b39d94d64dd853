"""Whether a lineage may trade for real, as a Django app of its own: reports, overrides, a command."""

from django.apps import AppConfig


class GoLiveConfig(AppConfig):
    name = "trading.golive"
    label = "golive"
    verbose_name = "Go-live gate"
    default_auto_field = "django.db.models.BigAutoField"
