"""`manage.py unlock`: releases the kill latch, under the conditions of K-05, after it is journaled in every session."""

import getpass
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.control import CommandRefused, unlock


class Command(BaseCommand):
    help = "Release the kill latch: 60 s after it fell, when everything is proved flat, with a written reason."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="why it is safe to go on, at least 10 characters")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            unlock(f"shell:{getpass.getuser()}", options["reason"])
        except CommandRefused as refusal:
            raise CommandError(f"{settings.VAR / 'guard' / 'latch.json'} stays: {refusal}.") from None
        self.stdout.write("released: running sessions stay paused until somebody resumes them")
