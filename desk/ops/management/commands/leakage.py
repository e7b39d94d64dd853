"""`manage.py leakage`: looks for knowledge of the future in a pipeline of features (N10).  Exit status 1 for a leak."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Run a pipeline from bars to features (and scaled, split, labelled rows) again and again on bars whose future"
        " was replaced, and compare: a value that is known at a moment and changes with what comes after it is a leak."
        " Without --pipeline it is the desk's own, the 56 bar features as they are trained on; else MODULE:NAME of a"
        " trading.learning.leakage.pipeline.Pipeline."
    )

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pipeline", default="", metavar="MODULE:NAME", help="the pipeline (the desk's own)")
        parser.add_argument("--data", default="", metavar="SET", help="data set or file of bars (a made-up tape)")
        parser.add_argument("--symbol", default="MES", help="instrument (MES)")
        parser.add_argument("--days", type=int, default=0, metavar="N", help="trading days of the tape (10)")
        parser.add_argument("--moments", type=int, default=0, metavar="N", help="moments to try (1000)")
        parser.add_argument("--seed", type=int, default=1, help="seed of the futures and of the made-up tape (1)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when nothing was found, 1 for a leak or a refusal, 130 for Ctrl-C."""
        from marketdata.feeds.options import parse_options
        from marketdata.feeds.port import FeedError
        from trading.learning.dataset import DataError
        from trading.learning.leakage.checks import MOMENTS, inspect
        from trading.learning.leakage.pipeline import Pipeline
        from trading.learning.leakage.shipped import DAYS, bars_pipeline, made_bars, stored_bars
        from trading.learning.schemas import SchemaError
        from trading.management.progress import Bar

        symbol, days = options["symbol"].upper(), options["days"] or DAYS
        try:
            pipeline = bars_pipeline(symbol)
            if options["pipeline"]:
                pipeline = import_string(options["pipeline"].replace(":", "."))
                if not isinstance(pipeline, Pipeline):
                    raise CommandError(f"{options['pipeline']} is no Pipeline of trading.learning.leakage.pipeline")
            if options["data"]:
                bars = stored_bars(Path(options["data"]), symbol, parse_options({}), days)
            else:
                bars = made_bars(options["seed"], days)
            with Bar(quiet=options["json"]) as bar:
                moments = options["moments"] or MOMENTS
                report = inspect(pipeline, bars, moments=moments, seed=options["seed"], progress=bar.show)
        except (DataError, FeedError, SchemaError, ImportError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            self.stderr.write("Stopped; nothing was found out.")
            sys.exit(130)
        if options["json"]:
            plain = report._asdict() | {"findings": [finding._asdict() for finding in report.findings]}
            self.stdout.write(json.dumps(plain | {"passed": report.passed}))
        else:
            for sentence in report.sentences():
                self.stdout.write(sentence)
        if not report.passed:
            sys.exit(1)
