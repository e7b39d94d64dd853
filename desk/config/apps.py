"""Configuration in the browser: pages for versions in the admin, and the admin's own look and entrance."""

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import sites


class ConfigPagesConfig(AppConfig):
    name = "desk.config"
    label = "config"
    verbose_name = "Configuration"
    default = True


class AdminThemeConfig(AppConfig):
    """The library `unfold` with this desk's admin site in the place of its own."""

    name = "unfold"

    def ready(self) -> None:
        """Before `django.contrib.admin` looks for what to register: the order in INSTALLED_APPS sees to it."""
        from desk.config.site import DeskSite

        site = DeskSite()
        admin.site = site
        sites.site = site
