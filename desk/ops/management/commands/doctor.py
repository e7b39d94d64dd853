"""`manage.py doctor`: checks the installation and says, for each fault, what to do."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from desk.ops.doctor import examine
from desk.ops.launch import layout


class Command(BaseCommand):
    help = "Check this installation. Every fault says what to do. Exits 1 when there is one."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print a list of {check, good, found, advice}")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = examine(layout())
        if options["json"]:
            self.stdout.write(json.dumps([finding._asdict() for finding in findings], indent=1))
        else:
            width = max(len(finding.check) for finding in findings)
            for finding in findings:
                mark = "ok   " if finding.good else "FAULT"
                self.stdout.write(f"{mark} {finding.check:<{width}}  {finding.found}")
                if not finding.good:
                    self.stdout.write(f"      {'':<{width}}  do: {finding.advice}")
        if not all(finding.good for finding in findings):
            sys.exit(1)
