"""`manage.py warm`: compiles the kernels of this version into the shared cache."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.ops.warming import warm


class Command(BaseCommand):
    help = "Compile the kernels once for this version of the code, so that no process compiles while it trades."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print {kernel: seconds}")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            seconds = warm(lambda text: None if options["json"] else self.stdout.write(text))
        except KeyboardInterrupt:
            raise CommandError("stopped; what was compiled so far is kept", returncode=130) from None
        if options["json"]:
            self.stdout.write(json.dumps(seconds))
