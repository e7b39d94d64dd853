"""`manage.py simulate_market`: a deterministic made-up data set of a given size, for tests and benchmarks."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from marketdata.calendars import CalendarError
from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.port import FeedError
from marketdata.synthetic import (
    KINDS,
    DataSetError,
    DataSetRequest,
    check_request,
    estimate_bytes,
    write_data_set,
)


class Command(BaseCommand):
    help = (
        "Write a made-up data set to one Parquet file: 1-second bars, or books of 20 levels. The market is the "
        "simulated feed's (a real limit order book, random orders); the same arguments give the same rows. "
        "Closed hours of the exchange are left out."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", required=True, help=f"one of {', '.join(sorted(INSTRUMENTS))}")
        parser.add_argument("--seconds", required=True, type=int, help="traded seconds to make")
        parser.add_argument("--seed", type=int, default=1, help="another seed makes another market (default 1)")
        parser.add_argument("--out", required=True, type=Path, help="file to write, ending in .parquet")
        parser.add_argument("--kind", default="bars", help=f"{' or '.join(KINDS)} (default bars)")
        parser.add_argument("--rate", default="1", help="how busy the market is, 0.1 .. 20 (default 1)")
        parser.add_argument("--start", default="", help="ISO time with offset, like 2026-03-04T10:00:00-05:00")
        parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        request = DataSetRequest(
            symbol=options["symbol"],
            seconds=options["seconds"],
            seed=options["seed"],
            out=options["out"],
            kind=options["kind"],
            overwrite=options["overwrite"],
            options={"rate": options["rate"], "start": options["start"], "backfill_s": "0"},
        )
        quiet = options["json"]
        try:
            check_request(request).close()
            if not quiet:
                self.stdout.write(f"{request.out}: about {estimate_bytes(request):,} bytes")
            with tqdm(total=request.seconds, unit="s", disable=True if quiet else None) as bar:
                done = write_data_set(request, bar.update)
        except (DataSetError, FeedError, CalendarError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{request.out} cannot be written: {error.strerror or error}") from None
        except KeyboardInterrupt:
            raise CommandError("stopped; nothing was written", returncode=130) from None
        if quiet:
            self.stdout.write(json.dumps(dataclasses.asdict(done)))
        else:
            self.stdout.write(f"{done.path}: {done.rows:,} rows, {done.bytes:,} bytes, sha256 {done.sha256}")
