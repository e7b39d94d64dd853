"""`manage.py why SESSION TIME|SEQ`: why the desk traded, or did not, at one moment; every rule with its margin (N6)."""

import csv
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.control import session_folder
from trading.reports.why import table as why_table
from trading.reports.why.answer import Why, why
from trading.reports.why.find import Journal
from trading.reports.why.times import EXAMPLES, moment_us, venue_zone
from trading.run.bodies.moment import NoJournal
from trading.run.journal.segment import JournalBroken
from trading.run.spec import SpecError, load_spec


class Command(BaseCommand):
    help = (
        "Why did the desk trade, or not trade, at this moment?  From the session's journal: the nearest decision with"
        " its score, the first refusing rule and how far every rule was from its limit; or, where nothing was decided"
        " within a minute, why not."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session", help="number, key (s12) or a journal's folder")
        parser.add_argument("moment", nargs="?", default="", help=f"{EXAMPLES}, or a journal number; default: the last")
        parser.add_argument("--venue-time", action="store_true", help="the time is the venue's (CT, MSK); default: UTC")
        parser.add_argument("--csv", action="store_true", help="the rules as CSV")
        parser.add_argument("--json", action="store_true", help="everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        word, text = options["session"], options["moment"]
        number = word.removeprefix("s")
        folder = session_folder(int(number)) if number.isdigit() else Path(word)
        try:
            found = self._found(folder, text, options["venue_time"])
        except (NoJournal, SpecError, JournalBroken, LookupError, ValueError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(why_table.values(found)))
        elif options["csv"]:
            csv.writer(self.stdout, lineterminator="\n").writerows(why_table.table(found))
        else:
            self.stdout.write("\n".join(why_table.lines(found)))

    def _found(self, folder: Path, text: str, venue_time: bool) -> Why:
        if text.isdigit() and len(text) < 14:
            return why(folder, seq=int(text))
        if not text:
            return why(folder)
        journal = Journal(folder)
        zone = venue_zone(load_spec(folder)) if venue_time else "UTC"
        return why(folder, at_us=moment_us(text, zone, journal.first_us, journal.last_us))
