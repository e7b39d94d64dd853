"""The operator's event list as a Django app of its own: a table, a command, and what tells the kernel of it."""

from django.apps import AppConfig


class NewsConfig(AppConfig):
    name = "trading.news"
    label = "news"
    verbose_name = "News windows"
    default_auto_field = "django.db.models.BigAutoField"
