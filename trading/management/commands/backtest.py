"""`manage.py backtest`: recorded bars through the very kernel that trades; trades, equity curve and summary as files.

Thin: words into a plan and a source of bars, the loop in trading.run.backtest, three files or none.  The result is held
against luck, costs and rivals before it is told.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.management import books
from trading.management.history import (
    History,
    add_history_arguments,
    known_by,
    opened,
    refusals,
    registry_file,
)
from trading.management.progress import Bar

if TYPE_CHECKING:
    from trading.run.backtest.engine import Result
    from trading.run.backtest.judged import Known

Show = Callable[[int, int], None]


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Trade recorded bars back: --config NAME with every rule active, decisions from columns of the data or from a"
        " function of yours. Writes trades.csv, equity.csv and summary.json into --out; the same inputs give the same"
        " bytes. With --books a tape of books and trades is traded instead. It ends with what speaks against the"
        " result: what this desk has tried on these data is counted, what was tried elsewhere you say with --trials."
        " docs/backtest.md has examples."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_history_arguments(parser)
        books.add_book_arguments(parser)
        parser.add_argument("--out", required=True, type=Path, help="folder to make")
        parser.add_argument("--equity-sample", default="minute", help="bar, minute or day (minute)")
        parser.add_argument(
            "--trials",
            type=int,
            help="how many configurations were ever tried on these data, this one and those of other desks included;"
            " what this desk has tried it counts itself",
        )
        parser.add_argument("--study", type=Path, help="folder of the study (optimise) that chose this configuration")
        parser.add_argument("--random", type=int, help="random strategies to hold it against (39); 0: none")
        parser.add_argument("--seed", type=int, default=1, help="of everything that the criticism draws (1)")
        parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in --out")
        parser.add_argument("--json", action="store_true", help="print the summary as JSON and nothing else")
        parser.add_argument("--progress-lines", action="store_true", help="tell a program how far it is, on stderr")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when the files stand, 1 for a refusal, 130 for Ctrl-C."""
        try:
            values = self._run(options)
        except KeyboardInterrupt:
            self.stderr.write("Cancelled; nothing was written.")
            sys.exit(130)
        except refusals() as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename or options['out']}: {error.strerror or error}") from None
        if options["json"]:
            self.stdout.write(json.dumps(values, ensure_ascii=False))
        else:
            self._tell(values, options["out"])

    def _run(self, options: dict[str, Any]) -> dict[str, Any]:
        if options["books"]:
            _check_counts(options, 0)
            return books.traded(options)
        if options["latency"] or options["seconds"] or options["schema"]:
            raise CommandError("--latency, --seconds and --schema are of a tape of books: give --books")
        from trading.run.backtest import outputs
        from trading.run.backtest.dearer import reruns_of
        from trading.run.backtest.judged import criticism_of
        from trading.run.backtest.rivals import RANDOM_RUNS, rivals_of

        outputs.check_folder(options["out"], overwrite=options["overwrite"])
        runs = RANDOM_RUNS if options["random"] is None else options["random"]
        _check_counts(options, runs)
        history = opened(options, options["equity_sample"])
        source, calendar = history.source, history.calendar
        rows, needed, _ = source.estimate(outputs.curve_bytes(history.plan, calendar))
        if not options["json"]:
            self.stdout.write(f"{source.path.name}: {rows:,} rows, about {needed / 1e6:,.0f} MB of memory.")
        with Bar(quiet=options["json"], lines=options["progress_lines"]) as bar:
            result = _traded(history, _shown(bar, "rows"))
            outside, dropped = source.outside, dict(source.dropped)
            known = _known(options, history, result)
            show = _shown(bar, "rows, for random strategies and foresight")
            rivals = rivals_of(result, lambda: source.bars(calendar, show), calendar, runs, options["seed"])
            dearer = _shown(bar, "rows, at dearer costs")
            reruns = reruns_of(result.plan, source.chunks(calendar, dearer), calendar)
        values = outputs.summary_of(result, _inputs(options, history), outside, dropped)
        values["criticism"] = criticism_of(result, known, rivals, options["seed"], reruns)
        outputs.write(options["out"], result, source.contracts, values)
        return values

    def _tell(self, values: dict[str, Any], out: Path) -> None:
        """The result in a few lines, and what speaks against it."""
        from trading.run.backtest import breakeven
        from trading.run.backtest.judged import spoken

        period, trades, drawdown = values["period"], values["trades"], values["drawdown"]
        for line in values["warnings"]:
            self.stdout.write(f"Note: {line}")
        sharpe = values["returns"]["sharpe"]
        fell = "no drawdown"
        if drawdown["pct"] is not None:
            fell = f"deepest drawdown {drawdown['pct']:.2f} % ({drawdown['usd']} USD)"
        self.stdout.write(
            f"{_counted(period)}, {period['sessions']} sessions, {period['start']} to {period['end']}\n"
            f"{trades['count']:,} trades, net {trades['net']} USD (gross {trades['gross']}, fees"
            f" {values['costs']['commission']}), {trades['wins']} won, {trades['losses']} lost\n"
            f"Sharpe {'not defined' if sharpe is None else f'{sharpe:.2f}'}, {fell}\n"
            f"config {values['run']['config_hash'][:12]}, data {values['run']['data_hash'][:12]}: {out}"
        )
        self.stdout.write(breakeven.spoken(values["break_even"], trades["win_rate"]))
        for line in spoken(values["criticism"]):
            self.stdout.write(line)


def _counted(period: dict[str, Any]) -> str:
    """What the data were, and how many."""
    return f"{period['events']:,} events" if "events" in period else f"{period['bars']:,} bars"


def _check_counts(options: dict[str, Any], runs: int) -> None:
    from trading.run.backtest.plan import BacktestError

    if options["trials"] is not None and options["trials"] < 1:
        raise BacktestError(f"--trials {options['trials']}: the result itself is one")
    if options["trials"] is not None and options["study"] is not None:
        raise BacktestError("give --trials or --study: a study knows how many trials were run")
    if not 0 <= runs <= 1_000:
        raise BacktestError(f"--random {runs} is not within 0 .. 1000")
    if options["seed"] < 0:
        raise BacktestError(f"--seed {options['seed']} is negative")


def _traded(history: History, show: Show) -> "Result":
    """The bars through the loop."""
    from trading.run.backtest.engine import Backtest
    from trading.run.backtest.plan import BacktestError

    run: Backtest | None = None
    for bar_ns, columns in history.source.chunks(history.calendar, show):
        if run is None:
            run = Backtest(history.plan, history.calendar, bar_ns, int(columns.start_ns[0]))
        run.feed(columns)
    if run is None:
        name, symbol = history.source.path.name, history.instrument.symbol
        raise BacktestError(f"{name} holds no bar of {symbol} in a session between these dates")
    return run.end()


def _shown(bar: Bar, what: str) -> Show:
    began = time.monotonic()

    def show(done: int, total: int) -> None:
        left = (time.monotonic() - began) * (total - done) / max(1, done)
        bar.show(done, total, f"{done:,} of {total:,} {what}, about {left:,.0f} s left")

    return show


def _known(options: dict[str, Any], history: History, result: "Result") -> "Known":
    """What is known of the trials before this one, which is one more."""
    from trading.run.search.judgement import known_of

    if options["study"] is not None:
        return known_of(options["study"], result, history.source.data_hash(), registry_file())
    return known_by(options, result, _inputs(options, history))


def _inputs(options: dict[str, Any], history: History) -> dict[str, Any]:
    """What names data, decisions and code in the summary."""
    from trading.management.history import changes_of

    source, strategy = history.source, history.strategy
    return {
        "data": source.path.name,
        "data_hash": source.data_hash(),
        "from": options["first"] or None,
        "to": options["last"] or None,
        "set": changes_of(options["changes"]),
        "strategy": strategy.words,
        "strategy_hash": strategy.code_hash or None,
        "signals_hash": source.signals_hash(),
        "code_hash": settings.CODE_HASH,
    }
