"""`manage.py features`: the named features and labels of a data set as one Parquet file.

Thin: words into a tape, rows from trading.learning.dataset, a file from trading.learning.features_file.
"""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.management.progress import Bar
from trading.management.tape import add_tape_arguments, tape_from

MILLI, NANOS = 1_000_000, 1_000_000_000


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Write the named features and the label of every scored moment of DATA, or of the simulated market, as Parquet."
    )

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_tape_arguments(parser, positional=True)
        parser.add_argument("--out", required=True, help="Parquet file to make; it must not exist yet")
        parser.add_argument("--schema", default="stream_v1", choices=["stream_v1"], help="feature schema")
        parser.add_argument("--seed", type=int, default=42, help="seed of the simulated tape")
        parser.add_argument("--horizon", type=float, default=30.0, help="seconds ahead that the label looks (30)")
        parser.add_argument("--cost", type=float, default=3.0, help="ticks a move must exceed to be up or down (3)")
        parser.add_argument("--every-ms", type=int, default=100, help="one row at most per so many ms (100)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when the file stands, 1 for a refusal, 130 for Ctrl-C."""
        from marketdata.core.features_schema import FEATURE_COUNT, schema_hash
        from marketdata.feeds.port import FeedError
        from marketdata.feeds.registry import open_feed
        from trading.learning.dataset import DataError, estimate_bytes, read_rows
        from trading.learning.features_file import check_file, write_features

        tape, seconds = tape_from(options, options["seed"])
        most, size = estimate_bytes(seconds if seconds > 0 else 86_400, options["every_ms"])
        try:
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
        except KeyboardInterrupt:
            self.stderr.write("Cancelled; nothing was written.")
            sys.exit(130)
        except (DataError, FeedError) as error:
            raise CommandError(str(error)) from None
        told = {"out": options["out"], "rows": len(rows.ts_ns), "events": rows.events, "schema_hash": schema_hash()}
        if options["json"]:
            self.stdout.write(json.dumps(told))
        else:
            words = f"{len(rows.ts_ns):,} rows of {FEATURE_COUNT} features from {rows.events:,} events"
            self.stdout.write(f"{words}: {options['out']}")
