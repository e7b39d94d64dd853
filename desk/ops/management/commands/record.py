"""`manage.py record SESSION`: what a session saw, as a data set: bars out of its journal, or its recorded books."""

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from desk.data.recording import record_books, record_every_book, record_session
from marketdata.feeds.port import FeedError
from marketdata.memory.guard import MemoryRefused
from marketdata.models import DataSet
from trading.management.progress import Bar
from trading.run.journal.segment import JournalBroken
from trading.run.recording import NothingRecorded
from trading.run.spec import SpecError

ALL = "ALL"


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Keep the market of a session, ended or running, as a data set of 1-second bars: it can be replayed and traded"
        " back like an import. Seconds that a gap of the feed touches are left out and counted. --books: the trades and"
        " 20-level books of a session that was started with --record."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session", help="number or key (s12)")
        parser.add_argument(
            "--symbol", default="", help="one of its instruments (default: the first); ALL, of books: each"
        )
        parser.add_argument("--books", action="store_true", help="trades and books as the feed was received")
        parser.add_argument("--hours", default="", help="any: keep bars outside the exchange's sessions (CME)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when all is stored, 1 for a refusal or an instrument that was left out, 130 for Ctrl-C."""
        number = options["session"].removeprefix("s")
        if not number.isdigit():
            raise CommandError(f"{options['session']!r} is no session: give its number or its key, like s12")
        by, symbol = f"shell:{getpass.getuser()}", options["symbol"].upper()
        try:
            with Bar(quiet=options["json"]) as bar:
                if options["books"]:
                    self._books(int(number), symbol, by, bar, options["json"])
                    return
                stored, found = record_session(
                    int(number),
                    symbol,
                    by=by,
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

    def _books(self, number: int, symbol: str, by: str, bar: Bar, as_json: bool) -> None:
        """Of one instrument, or of each.  Raises CommandError, all told, where one could not be stored."""

        def show(done: int, last: int) -> None:
            bar.show(done, last, f"{done} of {last} recordings")

        if symbol != ALL:
            self._tell_books(*record_books(number, symbol, by=by, progress=show), as_json)
            return
        stored, left_out, batches = record_every_book(number, by=by, progress=show)
        for one in stored:
            self._tell_books(one, batches, as_json)
        for words in left_out:
            self.stderr.write(f"left out {words}")
        if left_out:
            raise CommandError(f"{len(left_out)} could not be stored, the others were")

    def _tell_books(self, stored: DataSet, batches: int, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"id": stored.pk, "path": stored.path, "batches": batches}))
        else:
            self.stdout.write(f"data set {stored.pk}: {stored}, of {batches:,} recorded batches")
