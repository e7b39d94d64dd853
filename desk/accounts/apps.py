"""Who may sit at the desk: sign-in, sign-out, the one-time link, roles, step-up.  It decides nothing about trading."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "desk.accounts"
    label = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        """Roles are rows: made after each migration, as Django makes its own permissions."""
        from desk.accounts.roles import make_roles  # models: not before the apps are loaded

        post_migrate.connect(make_roles, sender=self, dispatch_uid="desk.accounts.roles")
