"""`manage.py venue`: the paper venue's process, started by the supervisor, one per desk."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from trading.brokers.paper_venue import run_venue


class Command(BaseCommand):
    help = "Serve the paper venue on DESK_VAR/venue/venue.sock until SIGTERM.  Its state survives a kill."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        run_venue(settings.VAR / "venue")
