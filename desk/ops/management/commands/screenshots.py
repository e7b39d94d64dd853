"""`manage.py screenshots`: pictures of every page in both themes and four widths, into var/screenshots."""

import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from desk.jitcache import BASE


class Command(BaseCommand):
    help = "Take pictures of every page with a real browser (Chromium), on a desk of their own."

    def handle(self, *args: Any, **options: Any) -> None:
        folder = settings.VAR / "screenshots"
        done = subprocess.run([sys.executable, "-m", "tests.web.screenshots", str(folder)], cwd=BASE, check=False)
        if done.returncode != 0:
            raise CommandError("the pictures could not be taken; the lines above say why")
        self.stdout.write(f"pictures are in {folder}")
