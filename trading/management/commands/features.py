"""`manage.py features`: the named features and labels of a data set as one Parquet file.

Thin: words into a tape or a data set, rows from trading.learning, a file from features_file or bars.file.
"""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.management.progress import Bar
from trading.management.tape import add_tape_arguments, tape_from

MILLI, NANOS = 1_000_000, 1_000_000_000
STREAM, BARS = "stream_v1", "bars"


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Write named features and labels of DATA as Parquet. --schema stream_v1: those of every scored moment of a"
        " recording, or of the simulated market. --schema bars: the 56 features of every second of one-second bars,"
        " from a data set of the store or a file of bars, in chunks of bounded memory; labels are those of the schema"
        " (30 s, more than 3 ticks). Ctrl-C leaves nothing behind."
    )

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_tape_arguments(parser, positional=True)
        parser.add_argument("--data", dest="set", default="", metavar="SET", help="the same as DATA")
        parser.add_argument("--out", default="", help="Parquet file to make; it must not exist yet")
        words = "bars: compute everything, on all processors, and print the hash of the rows; nothing is stored"
        parser.add_argument("--hash-only", action="store_true", help=words)
        parser.add_argument("--schema", default=STREAM, choices=[STREAM, BARS], help="feature schema (stream_v1)")
        parser.add_argument("--seed", type=int, default=42, help="seed of the simulated tape")
        parser.add_argument("--horizon", type=float, default=30.0, help="seconds ahead that the label looks (30)")
        parser.add_argument("--cost", type=float, default=3.0, help="ticks a move must exceed to be up or down (3)")
        parser.add_argument("--every-ms", type=int, default=100, help="one row at most per so many ms (100)")
        words = "bars: read so many at a time (found from the free memory); no bit of the rows depends on it"
        parser.add_argument("--chunk-bars", type=int, default=0, metavar="N", help=words)
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when the file stands, 1 for a refusal, 130 for Ctrl-C."""
        from marketdata.calendars import CalendarError
        from marketdata.feeds.port import FeedError
        from marketdata.memory.guard import MemoryRefused
        from trading.learning.dataset import DataError
        from trading.learning.schemas import SchemaError

        options["data"] = options["data"] or options["set"]
        if bool(options["out"]) == options["hash_only"] or (options["hash_only"] and options["schema"] != BARS):
            raise CommandError("give --out FILE; or --hash-only, for --schema bars, which stores nothing")
        work = self._bars if options["schema"] == BARS else self._stream
        try:
            work(options)
        except KeyboardInterrupt:
            self.stderr.write("Cancelled; nothing was written.")
            sys.exit(130)
        except (DataError, FeedError, SchemaError, MemoryRefused, CalendarError) as error:
            raise CommandError(str(error)) from None

    def _bars(self, options: dict[str, Any]) -> None:
        from marketdata.feeds.options import parse_options
        from trading.learning.bars.file import check_target, write_bar_file
        from trading.learning.bars.hashed import hash_rows
        from trading.learning.bars.rows import BarRows
        from trading.learning.dataset import DataError

        if not options["data"] or options["seconds"] is not None:
            raise DataError("the bar features are made of a whole data set or file of bars: give one, not --seconds")
        if (options["horizon"], options["cost"]) != (30.0, 3.0):
            raise DataError("the labels of the bar features look 30 s ahead for more than 3 ticks, no others exist")
        tape, _ = tape_from(options, options["seed"])
        out = Path(options["out"])
        with Bar(quiet=options["json"]) as bar:
            source = BarRows(
                Path(options["data"]),
                options["symbol"].upper(),
                parse_options(dict(tape.options)),
                bars_at_once=options["chunk_bars"],
                report=lambda done, bars: bar.show(done, bars, f"read {done:,} of {bars:,} bars"),
            )
            try:
                size = 0 if options["hash_only"] else check_target(source, out)
                if not options["json"]:
                    words = f"{source.bars:,} bars: about {source.memory_bytes / 1e6:,.0f} MB of memory"
                    self.stdout.write(f"{words}, {size / 1e6:,.0f} MB of disk before compression.")
                    self.stdout.flush()
                made = hash_rows(source) if options["hash_only"] else write_bar_file(source, out)
            finally:
                source.close()
        if options["json"]:
            self.stdout.write(json.dumps({"out": options["out"], "contracts": source.contracts, **made._asdict()}))
            return
        self.stdout.write(
            f"{made.rows:,} seconds from {made.bars:,} bars, {made.valid:,} valid, {made.labelled:,} of them labelled:"
            f" {options['out'] or 'hashed, not stored'}"
        )
        for reason, count in made.dropped.items():
            self.stdout.write(f"  left out {count:,}: {reason}")
        self.stdout.write(f"  schema {made.schema_hash[:12]}, rows {made.rows_hash[:12]}")

    def _stream(self, options: dict[str, Any]) -> None:
        from marketdata.feeds.registry import open_feed
        from trading.learning.dataset import estimate_bytes, read_rows
        from trading.learning.features_file import check_file, write_features

        tape, seconds = tape_from(options, options["seed"])
        most, size = estimate_bytes(seconds if seconds > 0 else 86_400, options["every_ms"])
        if not options["json"]:
            words = f"At most {most:,} rows, about {size / 1e6:,.0f} MB"
            self.stdout.write(f"{words} (for one day, where no length is given).")
        check_file(Path(options["out"]))
        feed = open_feed(tape)
        try:
            with Bar(quiet=options["json"]) as bar:
                rows = read_rows(
                    feed,
                    tape.symbols.index(options["symbol"]),
                    len(tape.symbols),
                    seconds=seconds,
                    every_ns=options["every_ms"] * MILLI,
                    horizon_ns=round(options["horizon"] * NANOS),
                    cost_ticks=options["cost"],
                    report=lambda events, share: bar.show(int(share * 1000), 1000, f"read {events:,} events"),
                )
        finally:
            feed.close()
        write_features(Path(options["out"]), rows, options["symbol"])
        told = {"out": options["out"], "rows": len(rows.ts_ns), "events": rows.events, "schema_hash": rows.schema.hash}
        if options["json"]:
            self.stdout.write(json.dumps(told))
        else:
            words = f"{len(rows.ts_ns):,} rows of {rows.schema.width} features from {rows.events:,} events"
            self.stdout.write(f"{words}: {options['out']}")
