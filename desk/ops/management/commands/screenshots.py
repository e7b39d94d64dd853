"""`manage.py screenshots [NAME…]`: pictures of every page, or of some, in both themes and four widths, into
var/screenshots."""

import subprocess
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from desk.jitcache import BASE


class Command(BaseCommand):
    help = "Take pictures of every page with a real browser (Chromium), on a desk of their own."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", help="names of pictures, like desk or risk; none: all of them")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = settings.VAR / "screenshots"
        command = [sys.executable, "-m", "tests.web.screenshots", str(folder), *options["names"]]
        done = subprocess.run(command, cwd=BASE, check=False)
        if done.returncode != 0:
            raise CommandError("the pictures could not be taken; the lines above say why")
        self.stdout.write(f"pictures are in {folder}")
