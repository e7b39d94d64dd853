"""`manage.py record SESSION`: what a session saw traded, out of its journal, as a data set of 1-second bars."""

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.data.recording import record_session
from marketdata.feeds.port import FeedError
from marketdata.memory.guard import MemoryRefused
from trading.management.progress import Bar
from trading.run.journal.segment import JournalBroken
from trading.run.recording import NothingRecorded
from trading.run.spec import SpecError


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Keep the market of a session, ended or running, as a data set of 1-second bars: it can be replayed and traded"
        " back like an import. Seconds that a gap of the feed touches are left out and counted; depth is not recorded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session", help="number or key (s12)")
        parser.add_argument("--symbol", default="", help="one of its instruments (default: the first)")
        parser.add_argument("--hours", default="", help="any: keep bars outside the exchange's sessions (CME)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when the data set stands, 1 for a refusal, 130 for Ctrl-C."""
        number = options["session"].removeprefix("s")
        if not number.isdigit():
            raise CommandError(f"{options['session']!r} is no session: give its number or its key, like s12")
        try:
            with Bar(quiet=options["json"]) as bar:
                stored, found = record_session(
                    int(number),
                    options["symbol"].upper(),
                    by=f"shell:{getpass.getuser()}",
                    hours=options["hours"],
                    progress=lambda done, last: bar.show(done, last, f"{done:,} of {last:,} journal rows"),
                )
        except (SpecError, NothingRecorded, JournalBroken, FeedError, MemoryRefused) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("stopped; nothing was stored", returncode=130) from None
        if options["json"]:
            self.stdout.write(json.dumps({"id": stored.pk, "path": stored.path, **found._asdict()}))
            return
        self.stdout.write(f"data set {stored.pk}: {stored}, up to journal row {found.last_seq:,}")
        self.stdout.write(
            f"  left out: {found.left_out} seconds at the ends and around {found.gaps} gaps of the feed,"
            f" {found.late} late prints"
        )
