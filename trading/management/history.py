"""The words by which a person names recorded bars, a profile and a strategy, the same for every command that trades
back.

`backtest`, `optimise` and `walkforward` take them; what they name is opened here once.  Nothing is traded here.
"""

import sqlite3
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from django.conf import settings
from django.core.management.base import CommandParser

if TYPE_CHECKING:
    from marketdata.core.instruments import Instrument
    from trading.config.schema import Profile
    from trading.run.backtest.engine import Result
    from trading.run.backtest.judged import Known
    from trading.run.backtest.plan import Calendar, Plan
    from trading.run.backtest.signals import Strategy
    from trading.run.backtest.source import BarSource

FAR_NS = 2**62
STRATEGY = "strategy."  # path of an argument of the strategy's function
SESSION = "session:"  # a latency that is drawn from what this session has measured


class History(NamedTuple):
    """What the words named."""

    profile: "Profile"
    plan: "Plan"
    instrument: "Instrument"
    strategy: "Strategy"
    source: "BarSource"
    calendar: "Calendar"


def add_history_arguments(parser: CommandParser) -> None:
    """--config, --data, --strategy, --from, --to, --symbol, --option, --set, --limit-fill, --data-close."""
    parser.add_argument("--config", required=True, help="profile (mes-topstep), version (mes-topstep@3) or YAML file")
    parser.add_argument("--data", required=True, help="number of a stored data set, or a file of bars")
    parser.add_argument(
        "--strategy",
        default="column",
        help="column: columns signal (−1, 0, +1) and confidence; column:NAME: one column of scores in −1 .. 1;"
        " module:function: a function of yours, given whole columns (default column)",
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="a value of the configuration (risk.stop_ticks=10) or an argument of the function (strategy.depth=4);"
        " may repeat",
    )
    parser.add_argument("--from", dest="first", default="", help="first trading day, like 2024-01-02")
    parser.add_argument("--to", dest="last", default="", help="last trading day, included")
    parser.add_argument("--symbol", default="MES", help="instrument (MES)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="option of the reader")
    parser.add_argument("--limit-fill", default="through", help="through or touch: when a target fills (through)")
    parser.add_argument(
        "--data-close",
        default="",
        metavar="HH:MM",
        help="where each date's data end, New York: a later flat is refused",
    )


def registry_file() -> Path:
    """Where this desk counts every trial (MES-GUARD-01)."""
    from trading.run.search.registry import FILE

    return Path(settings.VAR) / FILE


def known_by(options: dict[str, Any], result: "Result", inputs: dict[str, Any]) -> "Known":
    """What the desk's registry knows of these data, this result counted in: the same words once more are no other
    trial, nor is another seed where it decides nothing.  Raises ResearchError."""
    from trading.run.search.judgement import known_here
    from trading.run.search.registry import key_of
    from trading.run.search.trial import days_of

    decides = {name: value for name, value in inputs.items() if name not in ("data", "code_hash")}
    key = key_of([result.plan.config_hash, decides, deciding_words(options)])
    name = f"{inputs['data']}: {inputs['strategy']}"
    return known_here(registry_file(), inputs["data_hash"], key, name, days_of(result), options["trials"])


def deciding_words(options: dict[str, Any]) -> list[Any]:
    """The words that decide a result beside configuration and data; of drawn latencies the seed is one (MES-GUARD-01).
    Other words keep the form in which earlier results were counted."""
    words = [options[name] for name in ("option", "limit_fill", "latency", "seconds")]
    return words + ([options["seed"]] if (options["latency"] or "").startswith(SESSION) else [])


def refusals() -> tuple[type[Exception], ...]:
    """What a command answers with one sentence."""
    from marketdata.calendars import CalendarError
    from marketdata.feeds.port import FeedError
    from marketdata.memory.guard import MemoryRefused
    from trading.configs import ConfigError
    from trading.research.records import ResearchError
    from trading.run.backtest.plan import BacktestError

    named = (BacktestError, FeedError, MemoryRefused, CalendarError, ConfigError, ResearchError)
    return *named, sqlite3.OperationalError  # a ledger on a full disk


def opened(options: dict[str, Any], equity_sample: str = "minute") -> History:
    """Profile, plan, strategy and bars that the options name.  Raises what `refusals` lists."""
    from marketdata.core.instruments import UnknownInstrument, instrument
    from risk.services import contract_fault
    from trading.config.paths import with_values
    from trading.configs import resolve
    from trading.run.backtest.plan import BacktestError, Calendar, check_data_close, plan_of
    from trading.run.backtest.signals import strategy_of
    from trading.run.backtest.source import BarSource, span_of

    try:
        item = instrument(options["symbol"])
    except UnknownInstrument as error:
        raise BacktestError(str(error)) from None
    changes = changes_of(options["changes"])
    arguments = {path.removeprefix(STRATEGY): value for path, value in changes.items() if path.startswith(STRATEGY)}
    profile = with_values(
        resolve(options["config"]), {path: value for path, value in changes.items() if not path.startswith(STRATEGY)}
    )
    plan = plan_of(profile, item, limit_fill=options["limit_fill"], equity_sample=equity_sample)
    if fault := contract_fault(plan.limits, item):
        raise BacktestError(f"{profile.profile} cannot trade {item.symbol}: {fault}")
    strategy = strategy_of(options["strategy"], arguments)
    path, reader = data_path(options["data"]), reader_options(options["option"])
    first_ns, last_ns = span_of(path, item, reader)
    calendar = Calendar.between(first_ns, last_ns)
    from_ns, to_ns = bounds(calendar, options["first"], options["last"])
    if options["data_close"]:
        check_data_close(plan, calendar, options["data_close"], from_ns, to_ns)
    source = BarSource(path, item, reader, strategy, from_ns=from_ns, to_ns=to_ns)
    return History(profile, plan, item, strategy, source, calendar)


def changes_of(words: list[str]) -> dict[str, object]:
    """PATH=VALUE → values, read as YAML reads them.  Raises BacktestError."""
    from trading.run.backtest.plan import BacktestError

    found: dict[str, object] = {}
    for text in words:
        path, equals, value = text.partition("=")
        if not equals or "." not in path:
            raise BacktestError(f"--set {text!r} is not PATH=VALUE, like risk.stop_ticks=10 or strategy.depth=4")
        if path in found:
            raise BacktestError(f"--set gives {path} twice")
        try:
            found[path] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise BacktestError(f"--set {text!r}: {value!r} is no value") from None
    return found


def data_path(word: str) -> Path:
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


def reader_options(words: list[str]) -> Any:
    """NAME=VALUE words as the reader takes them.  Raises BacktestError, FeedError."""
    from marketdata.feeds.options import parse_options
    from trading.run.backtest.plan import BacktestError

    pairs = {}
    for text in words:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BacktestError(f"--option {text!r} is not NAME=VALUE")
        pairs[name] = value
    return parse_options(pairs)


def bounds(calendar: "Calendar", first: str, last: str) -> tuple[int, int]:
    """[from, to) in ns UTC of whole trading days; without words all of the data.  Raises BacktestError."""
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
