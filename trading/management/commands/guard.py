"""`manage.py guard`: the guard's process, started by the supervisor, one per desk."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from trading.run.panic.server import run_guard


class Command(BaseCommand):
    help = "Serve the second road to flat (panic page on 127.0.0.1:DESK_GUARD_PORT) until SIGTERM."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        run_guard(settings.VAR, settings.GUARD_PORT)
