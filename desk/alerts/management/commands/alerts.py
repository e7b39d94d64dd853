"""`manage.py alerts`: the alerts' process, started by the supervisor, one per desk."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from desk.alerts.channels import ChannelError, parse
from desk.alerts.teller import Setting, Teller


class Command(BaseCommand):
    help = (
        "Tell people outside of the desk what happened in it, until SIGTERM.  DESK_ALERT_CHANNELS names the receivers "
        "in the order of escalation, parted by semicolons (https://..., command:..., file:/...); "
        "DESK_ALERT_HEARTBEAT a URL that gets a sign of life every 20 s."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            channels = parse(settings.ALERT_CHANNELS)
        except ChannelError as error:
            raise CommandError(f"DESK_ALERT_CHANNELS: {error}") from None
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        Teller(Setting(settings.VAR, settings.REDIS_URL, channels, settings.ALERT_HEARTBEAT)).run(stop)
