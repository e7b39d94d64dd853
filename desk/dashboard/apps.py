"""The pages, the socket and the commands' address.  It shows and asks; it decides nothing."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "desk.dashboard"
    label = "dashboard"
    verbose_name = "Desk"
