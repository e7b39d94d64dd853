"""The room that starts, checks and stops the desk on one machine.  It never trades and decides nothing."""

from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "desk.ops"
    label = "ops"
    verbose_name = "Operation"
