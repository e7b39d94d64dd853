"""Alerts as a Django app: what happened that somebody must hear of, who was told of it, and who has answered."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "desk.alerts"
    label = "alerts"
    verbose_name = "Alerts"
