"""`manage.py signin_link`: a new one-time sign-in link for the desk of this folder."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from desk.accounts.services import make_link


class Command(BaseCommand):
    help = (
        "Print a one-time sign-in link, good for 15 minutes from a browser on this machine. Older links stop working."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--new-password", action="store_true", help="the link lets the owner set a new password")
        parser.add_argument("--json", action="store_true", help="print {url, minutes}")

    def handle(self, *args: Any, **options: Any) -> None:
        link = make_link(now=timezone.now(), sets_password=options["new_password"])
        url = f"http://127.0.0.1:{settings.DESK_PORT}{link.path}"
        self.stdout.write(json.dumps({"url": url, "minutes": link.minutes}) if options["json"] else url)
