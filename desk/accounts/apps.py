"""Who may sit at the desk: sign-in, sign-out and the one-time link.  It knows nothing about trading."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "desk.accounts"
    label = "accounts"
    verbose_name = "People"
