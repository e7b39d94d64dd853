"""`manage.py news …`: the operator's event list from a shell: list, add, import a CSV, take a window out."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketdata.core.units import NANOS
from trading.news import services
from trading.news.csvfile import NewsRefused
from trading.news.models import NewsWindow

REASON_MIN = 10  # characters, as for a halt


class Command(BaseCommand):
    help = "Windows in which nothing is entered: list, add, import FILE (starts, ends, venue, title, zone), remove."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="every window, in order of time")
        add = verbs.add_parser("add", help="one window")
        add.add_argument("--starts", required=True, metavar="TIME", help="with its offset: 2026-03-18T14:00:00-04:00")
        add.add_argument("--ends", required=True, metavar="TIME")
        add.add_argument("--zone", default="", help="where the times carry no offset: America/New_York")
        add.add_argument("--venue", choices=services.VENUE_NAMES, required=True)
        add.add_argument("--title", required=True)
        verbs.add_parser("import", help="a CSV file, whole or not at all").add_argument("file", type=Path)
        remove = verbs.add_parser("remove", help="take a window out; running sessions that know it keep it")
        remove.add_argument("window", type=int)
        remove.add_argument("--reason", required=True)
        for name in ("add", "import", "remove"):
            verbs.choices[name].add_argument("--by", default="operator")

    def handle(self, *args: Any, **options: Any) -> None:
        verb = options["verb"]
        if verb == "list":
            for row in NewsWindow.objects.order_by("starts_ns", "id"):
                self.stdout.write(f"{row.id}  {_utc(row.starts_ns)}  {_utc(row.ends_ns)}  {row.venue}  {row.title}")
            return
        if verb == "remove":
            self._remove(options)
            return
        try:
            added = self._add(options)
        except (NewsRefused, ValueError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{options['file']}: {error}") from None
        self.stdout.write(f"{added.new} added, {added.known} stood already")

    def _add(self, options: dict[str, Any]) -> services.Added:
        if options["verb"] == "import":
            path: Path = options["file"]
            return services.import_csv(path.read_bytes(), by=options["by"], source=path.name)
        told = {name: options[name] for name in ("starts", "ends", "venue", "title", "zone", "by")}
        return services.add_one(**told, source="shell")

    def _remove(self, options: dict[str, Any]) -> None:
        reason = options["reason"].strip()
        if len(reason) < REASON_MIN:
            raise CommandError(f"taking a window out needs a reason of {REASON_MIN} characters or more")
        try:
            gone = services.remove(options["window"], by=options["by"], reason=reason)
        except NewsWindow.DoesNotExist:
            raise CommandError(f"no window has the number {options['window']}") from None
        self.stdout.write(f"{gone.title} is out of the list; a session that was told of it keeps it until it ends")


def _utc(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // NANOS, UTC):%Y-%m-%d %H:%M:%S} UTC"
