"""`manage.py kill`: the kill switch from a shell.  Needs no database, Redis or web, nor a guard that lives."""

import getpass
import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.run.guard import guard_kill


class Command(BaseCommand):
    help = "Latch the desk, cancel every order, close every position, and say what is left.  Exit code 1: not flat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="why, for the record")
        parser.add_argument("--json", action="store_true", help="print the whole report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        report = guard_kill(settings.VAR, f"shell:{getpass.getuser()}", options["reason"])
        if options["json"]:
            self.stdout.write(json.dumps(report, indent=2))
        else:
            steps = ", ".join(f"{step['step']} {step['ms']} ms" for step in report["steps"])
            self.stdout.write(f"{steps}; cancelled {report['cancelled']}, closed {report['closed']} ({report['road']})")
        if not report["flat"]:
            raise CommandError(f"NOT proved flat; the latch stands: {json.dumps(report['residual'])}")
        if not options["json"]:
            self.stdout.write("flat: no position and no working order; release with `manage.py unlock`")
