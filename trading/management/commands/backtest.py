"""`manage.py backtest`: recorded bars through the very kernel that trades; trades, equity curve and summary as files.

Thin: words into a plan and a source of bars, the loop in trading.run.backtest, three files or none.
"""

import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.management.progress import Bar

FAR_NS = 2**62


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Trade recorded bars back: --config NAME with every rule active, decisions from columns of the data or from a"
        " function of yours. Writes trades.csv, equity.csv and summary.json into --out; the same inputs give the same"
        " bytes. docs/backtest.md has examples."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--config", required=True, help="profile (mes-topstep), version (mes-topstep@3) or YAML file"
        )
        parser.add_argument("--data", required=True, help="number of a stored data set, or a file of bars")
        parser.add_argument(
            "--strategy",
            default="column",
            help="column: columns signal (−1, 0, +1) and confidence; column:NAME: one column of scores in −1 .. 1;"
            " module:function: a function of yours, given whole columns (default column)",
        )
        parser.add_argument("--out", required=True, type=Path, help="folder to make")
        parser.add_argument("--from", dest="first", default="", help="first trading day, like 2024-01-02")
        parser.add_argument("--to", dest="last", default="", help="last trading day, included")
        parser.add_argument("--symbol", default="MES", help="instrument (MES)")
        parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="option of the reader")
        parser.add_argument("--equity-sample", default="minute", help="bar, minute or day (minute)")
        parser.add_argument("--limit-fill", default="through", help="through or touch: when a target fills (through)")
        parser.add_argument(
            "--data-close",
            default="",
            metavar="HH:MM",
            help="where each date's data end, New York: a later flat is refused",
        )
        parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in --out")
        parser.add_argument("--json", action="store_true", help="print the summary as JSON and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit status 0 when the files stand, 1 for a refusal, 130 for Ctrl-C."""
        from marketdata.calendars import CalendarError
        from marketdata.feeds.port import FeedError
        from marketdata.memory.guard import MemoryRefused
        from trading.configs import ConfigError
        from trading.run.backtest.plan import BacktestError

        try:
            values = self._run(options)
        except KeyboardInterrupt:
            self.stderr.write("Cancelled; nothing was written.")
            sys.exit(130)
        except (BacktestError, FeedError, MemoryRefused, CalendarError, ConfigError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename or options['out']}: {error.strerror or error}") from None
        if options["json"]:
            self.stdout.write(json.dumps(values, ensure_ascii=False))
        else:
            self._tell(values, options["out"])

    def _run(self, options: dict[str, Any]) -> dict[str, Any]:
        from marketdata.core.instruments import UnknownInstrument, instrument
        from risk.services import contract_fault
        from trading.configs import resolve
        from trading.run.backtest import outputs
        from trading.run.backtest.engine import Backtest
        from trading.run.backtest.plan import BacktestError, Calendar, check_data_close, plan_of
        from trading.run.backtest.signals import strategy_of
        from trading.run.backtest.source import BarSource, span_of

        outputs.check_folder(options["out"], overwrite=options["overwrite"])
        try:
            item = instrument(options["symbol"])
        except UnknownInstrument as error:
            raise BacktestError(str(error)) from None
        profile = resolve(options["config"])
        plan = plan_of(profile, item, limit_fill=options["limit_fill"], equity_sample=options["equity_sample"])
        if fault := contract_fault(plan.limits, item):
            raise BacktestError(f"{profile.profile} cannot trade {item.symbol}: {fault}")
        sys.path.insert(0, str(Path.cwd()))  # where a strategy of one's own lies
        strategy = strategy_of(options["strategy"])
        path, reader = _data_path(options["data"]), _reader_options(options["option"])
        first_ns, last_ns = span_of(path, item, reader)
        calendar = Calendar.between(first_ns, last_ns)
        from_ns, to_ns = _bounds(calendar, options["first"], options["last"])
        if options["data_close"]:
            check_data_close(plan, calendar, options["data_close"], from_ns, to_ns)
        source = BarSource(path, item, reader, strategy, from_ns=from_ns, to_ns=to_ns)
        rows, needed, _ = source.estimate()
        if not options["json"]:
            self.stdout.write(f"{path.name}: {rows:,} rows, about {needed / 1e6:,.0f} MB of memory.")
        run: Backtest | None = None
        began = time.monotonic()
        with Bar(quiet=options["json"]) as bar:

            def show(done: int, total: int) -> None:
                left = (time.monotonic() - began) * (total - done) / max(1, done)
                bar.show(done, total, f"{done:,} of {total:,} rows, about {left:,.0f} s left")

            for bar_ns, columns in source.chunks(calendar, show):
                if run is None:
                    run = Backtest(plan, calendar, bar_ns, int(columns.start_ns[0]))
                run.feed(columns)
        if run is None:
            raise BacktestError(f"{path.name} holds no bar of {item.symbol} in a session between these dates")
        result = run.end()
        values = outputs.summary_of(
            result,
            {
                "data": path.name,
                "data_hash": source.data_hash(),
                "from": options["first"] or None,
                "to": options["last"] or None,
                "strategy": strategy.words,
                "strategy_hash": strategy.code_hash or None,
                "signals_hash": source.signals_hash(),
                "code_hash": settings.CODE_HASH,
            },
            source.outside,
            source.dropped,
        )
        outputs.write(options["out"], result, source.contracts, values)
        return values

    def _tell(self, values: dict[str, Any], out: Path) -> None:
        """The result in a few lines."""
        period, trades, drawdown = values["period"], values["trades"], values["drawdown"]
        for line in values["warnings"]:
            self.stdout.write(f"Note: {line}")
        sharpe = values["returns"]["sharpe"]
        self.stdout.write(
            f"{period['bars']:,} bars, {period['sessions']} sessions, {period['start']} to {period['end']}\n"
            f"{trades['count']:,} trades, net {trades['net']} USD (gross {trades['gross']}, fees"
            f" {values['costs']['commission']}), {trades['wins']} won, {trades['losses']} lost\n"
            f"Sharpe {'not defined' if sharpe is None else f'{sharpe:.2f}'}, deepest drawdown {drawdown['pct']:.2f} %"
            f" ({drawdown['usd']} USD)\n"
            f"config {values['run']['config_hash'][:12]}, data {values['run']['data_hash'][:12]}: {out}"
        )


def _data_path(word: str) -> Path:
    """The file behind a data set's number or a path.  Raises BacktestError."""
    from marketdata.models import DataSet
    from marketdata.selectors import data_set_path
    from trading.run.backtest.plan import BacktestError

    if not word.isdigit():
        return Path(word)
    try:
        return data_set_path(DataSet.objects.get(id=int(word)))
    except (DataSet.DoesNotExist, FileNotFoundError) as error:
        raise BacktestError(f"data set {word}: {error}") from None


def _reader_options(words: list[str]) -> Any:
    from marketdata.feeds.options import parse_options
    from trading.run.backtest.plan import BacktestError

    pairs = {}
    for text in words:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BacktestError(f"--option {text!r} is not NAME=VALUE")
        pairs[name] = value
    return parse_options(pairs)


def _bounds(calendar: Any, first: str, last: str) -> tuple[int, int]:
    """[from, to) in ns UTC of whole trading days; without words all of the data."""
    from trading.run.backtest.plan import BacktestError

    from_ns, to_ns = -FAR_NS, FAR_NS
    days = [(session.trading_day, session) for session in calendar.sessions]
    if first:
        later = [session for day, session in days if day >= _number(first)]
        if not later:
            raise BacktestError(f"the data ends before --from {first}")
        from_ns = later[0].open_ns
    if last:
        earlier = [session for day, session in days if day <= _number(last)]
        if not earlier:
            raise BacktestError(f"the data begins after --to {last}")
        to_ns = earlier[-1].close_ns
    if from_ns >= to_ns:
        raise BacktestError(f"no session lies between --from {first} and --to {last}")
    return from_ns, to_ns


def _number(text: str) -> int:
    from trading.run.backtest.plan import BacktestError

    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BacktestError(f"{text!r} is no date like 2024-01-02") from None
    return day.year * 10_000 + day.month * 100 + day.day
