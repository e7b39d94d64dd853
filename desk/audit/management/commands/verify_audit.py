"""`manage.py verify_audit`: proves the audit log from its first row, or names the first row that is wrong."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.audit.services import verify


class Command(BaseCommand):
    help = "Check the hash chain of the audit log from its first row.  Exits 1 and names the first bad row, if any."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--anchor", default="", help="a head noted earlier: also finds a log that was cut short")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of words")

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = verify(options["anchor"])
        if options["json"]:
            self.stdout.write(json.dumps(verdict._asdict() | {"ok": verdict.ok}))
        elif verdict.ok:
            self.stdout.write(f"{verdict.rows} rows, every hash holds.  Head {verdict.head}")
        if not verdict.ok:
            raise CommandError(f"the audit log is broken: {verdict.fault}")
