"""`manage.py kill`: the kill switch from a shell.  Needs no database, Redis or web, nor a guard that lives.

From a shell it does not even come here: `manage.py` calls `trading.run.panic.shell` before Django is loaded.
"""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.run.panic import shell


class Command(BaseCommand):
    help = shell.HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        shell.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        said, fault = shell.kill(settings.VAR, options["reason"], options["json"])
        self.stdout.write(said)
        if fault:
            raise CommandError(fault)
