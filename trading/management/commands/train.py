"""`manage.py train`: one network from a simulated or recorded tape, to a folder that a session can name as its scorer.

Thin: it turns words into a TrainRequest, shows progress, prints what came out.  Ctrl-C leaves nothing behind.
"""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.management.progress import Bar
from trading.management.tape import add_tape_arguments, tape_from


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: where it falls into a callback of the compiler, what it raises there is lost."""
    pressed = threading.Event()

    def press(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Train a feed-forward network to say down, flat or up at a horizon, from the simulated market, a recording "
        "(--data) or a file of bar features (--features), and save it as safetensors with a JSON manifest.  No edge is "
        "claimed."
    )

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_tape_arguments(parser)
        words = "file of bar features (manage.py features --schema bars) to train on instead of a tape"
        parser.add_argument("--features", default="", metavar="FILE", help=words)
        parser.add_argument("--out", default="", help="folder to make; it must not exist yet")
        words = "shuffle the labels inside each day: what the network then knows is a leak (MES-SANE-04); saves nothing"
        parser.add_argument("--shuffled", action="store_true", help=words)
        parser.add_argument("--seed", type=int, default=42, help="seed of weights, order of rows and simulated tape")
        parser.add_argument("--horizon", type=float, default=30.0, help="seconds ahead that the label looks (30)")
        parser.add_argument("--cost", type=float, default=3.0, help="ticks a move must exceed to be up or down (3)")
        words = "one row at most per so many ms (500); of --features the rows of every so many whole seconds"
        parser.add_argument("--every-ms", type=int, default=500, help=words)
        parser.add_argument("--epochs", type=int, default=50, help="passes over the train rows at most (50)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when the artifact stands, 1 for a refusal, 130 for Ctrl-C."""
        from marketdata.feeds.port import FeedError
        from trading.learning.artifacts import ArtifactError
        from trading.learning.dataset import Cancelled, DataError, Tape
        from trading.learning.schemas import SchemaError
        from trading.learning.shuffled import train_shuffled
        from trading.learning.training import FEATURES, TrainRequest, estimate, train

        if bool(options["out"]) == options["shuffled"]:
            raise CommandError("give --out FOLDER, or --shuffled, which saves nothing")
        tape, seconds = tape_from(options, options["seed"])
        if options["features"]:
            if options["data"] or options["seconds"] is not None:
                raise CommandError("--features names the rows: give neither --data nor --seconds")
            tape, seconds = Tape(name=FEATURES, symbols=[options["symbol"]], path=options["features"]), 0
        request = TrainRequest(
            tape=tape,
            symbol=options["symbol"],
            seconds=seconds,
            out=options["out"],
            seed=options["seed"],
            horizon_s=options["horizon"],
            cost_ticks=options["cost"],
            every_ms=options["every_ms"],
            epochs=options["epochs"],
        )
        try:
            rows, size = estimate(request)
            if not options["json"]:
                self.stdout.write(f"At most {rows:,} rows, about {size / 1e6:,.0f} MB of memory.")
            with Bar(quiet=options["json"]) as bar, _interrupts() as stopped:
                work = train_shuffled if options["shuffled"] else train
                report = work(request, bar.show, stopped)
        except (KeyboardInterrupt, Cancelled):
            self.stderr.write("Cancelled; nothing was written.")
            sys.exit(130)
        except (DataError, SchemaError, ArtifactError, FeedError) as error:
            raise CommandError(str(error)) from None
        if options["shuffled"]:
            self._judge(report, options["json"])
            return
        if options["json"]:
            self.stdout.write(json.dumps(msgspec.to_builtins(report)))
            return
        self._print(report)

    def _judge(self, report: Any, as_json: bool) -> None:
        """Exit status 1 where labels that mean nothing were told apart."""
        words = (
            f"Area under the curve {report.auc:.4f} over {report.days} days that it has not seen, standard error"
            f" {report.error:.4f}: chance is 0.5."
        )
        self.stdout.write(json.dumps(msgspec.to_builtins(report)) if as_json else words)
        if not report.knows_nothing:
            raise CommandError(f"{words} Labels without meaning were told apart: something leaks (MES-SANE-04).")

    def _print(self, report: Any) -> None:
        write = self.stdout.write
        heads = ("rows", "accuracy", "majority", "log loss", "base rate", "signals", "right")
        write(f"{'part':<11}" + "".join(f"{head:>10}" for head in heads))
        for name, m in report.metrics.items():
            right = "-" if m["signal_precision"] is None else f"{m['signal_precision']:.3f}"
            write(
                f"{name:<11}{m['rows']:>10,}{m['accuracy']:>10.3f}{m['majority_accuracy']:>10.3f}"
                f"{m['log_loss']:>10.4f}{m['base_rate_log_loss']:>10.4f}{m['signals']:>10,}{right:>10}"
            )
        write(
            f"{report.events:,} events read, {report.epochs} epochs, temperature {report.temperature:.3f}; "
            f"{report.purged:,} rows purged, {report.embargoed:,} embargoed."
        )
        write(f"Saved {report.out} (artifact {report.artifact_id[:12]}).")
        write(report.claim)
