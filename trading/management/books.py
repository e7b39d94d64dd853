"""`manage.py backtest --books`: the words that only a tape of books needs, and its way through loop, report and files.

Thin: profile and tape are opened here, the loop is in trading.core.history, the figures are those of every backtest.
Called by the command `backtest`.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandParser

from marketdata.core.units import NANOS
from trading.management.history import SESSION, STRATEGY, changes_of, data_path, known_by
from trading.management.progress import Bar

if TYPE_CHECKING:
    from trading.run.backtest.plan import Plan
    from trading.run.tapes.latency import Latency
    from trading.run.tapes.scores import Asked, Scoring
    from trading.run.tapes.source import TapeSource

SIMULATED = "simulated"


def add_book_arguments(parser: CommandParser | argparse.ArgumentParser) -> None:
    """--books, --latency, --seconds, --schema."""
    parser.add_argument(
        "--books",
        action="store_true",
        help="the data are books and trades: queue, partial fills and latency count; --strategy is then baseline,"
        " network:FOLDER or policy:module:Class",
    )
    parser.add_argument(
        "--latency",
        default="",
        metavar="TIME",
        help="of books: time to the venue, like 20 ms, or session:N, drawn from what session N has measured (the"
        " profile's)",
    )
    parser.add_argument("--seconds", type=int, default=0, help="of books: length of the tape to take (all of a file)")
    parser.add_argument("--schema", default="", help="of books: schema of a DBN file (mbo, mbp-10)")


def traded(options: dict[str, Any]) -> dict[str, Any]:
    """The whole run; returns the summary.  Raises what `history.refusals` lists, and OSError."""
    from trading.run.backtest import outputs
    from trading.run.backtest.judged import criticism_of
    from trading.run.tapes.report import fills_csv, summary_of
    from trading.run.tapes.scores import Scoring
    from trading.run.tapes.source import trade_tape

    outputs.check_folder(options["out"], overwrite=options["overwrite"])
    plan, latency, source, decides, words = _opened(options)
    try:
        with Bar(quiet=options["json"], lines=options["progress_lines"]) as bar:
            show = _shown(bar, source.start_ns, _whole_ns(options, source.start_ns))
            run, result = trade_tape(source, plan, latency, decides, show)
    finally:
        source.close()
    inputs = {
        "data": Path(source.tape.path).name or source.tape.name,
        "data_hash": source.hash,
        "set": changes_of(options["changes"]),
        **words,
        "code_hash": settings.CODE_HASH,
    }
    values = summary_of(run, result, latency, inputs)
    if isinstance(decides, Scoring) and decides.missing > 0:
        values["warnings"].append(
            f"{decides.missing} moments without a score: the network gave no probabilities, as in a session"
        )
    others = _others(options, plan.instrument.symbol)
    if others:
        values["warnings"].append(f"the file holds {', '.join(others)}, too: {plan.instrument.symbol} alone was traded")
    values["criticism"] = criticism_of(result, known_by(options, result, inputs), None, options["seed"])
    outputs.write(options["out"], result, [], values, fills_csv(run))
    return values


def _opened(
    options: dict[str, Any],
) -> "tuple[Plan, Latency, TapeSource, Scoring | Asked, dict[str, Any]]":
    """Plan, latency, tape, who decides, and the words that name it in the summary."""
    from marketdata.core.instruments import UnknownInstrument, instrument
    from risk.services import contract_fault
    from trading.config.paths import with_values
    from trading.configs import resolve
    from trading.run.backtest.plan import BacktestError
    from trading.run.tapes.engine import check_latency, tape_plan
    from trading.run.tapes.source import opened_tape

    _refuse_words_of_bars(options)
    try:
        item = instrument(options["symbol"])
    except UnknownInstrument as error:
        raise BacktestError(str(error)) from None
    changes = changes_of(options["changes"])
    own = {path: value for path, value in changes.items() if not path.startswith(STRATEGY)}
    arguments = {path.removeprefix(STRATEGY): value for path, value in changes.items() if path.startswith(STRATEGY)}
    profile = with_values(resolve(options["config"]), own)
    plan = tape_plan(profile, item, equity_sample=options["equity_sample"])
    if fault := contract_fault(plan.limits, item):
        raise BacktestError(f"{profile.profile} cannot trade {item.symbol}: {fault}")
    latency = _latency(options["latency"] or profile.paper.latency, options["seed"])
    check_latency(plan, latency)
    decides, words = _decides(options["strategy"], arguments, item.symbol)
    return plan, latency, opened_tape(_tape(options, item.symbol), options["seconds"]), decides, words


def _refuse_words_of_bars(options: dict[str, Any]) -> None:
    from trading.run.backtest.plan import BacktestError

    for name, flag in (("first", "--from"), ("last", "--to"), ("data_close", "--data-close"), ("study", "--study")):
        if options[name]:
            raise BacktestError(f"{flag} is for bars; a tape of books is cut with --option start=… and --seconds")
    if options["seconds"] < 0:
        raise BacktestError(f"--seconds {options['seconds']} is negative")
    if options["random"]:
        raise BacktestError("--random is for bars: random strategies and foresight are not traded on books")


def _tape(options: dict[str, Any], symbol: str) -> Any:
    """The tape as every feed opens it.  Raises BacktestError."""
    from trading.learning.dataset import Tape
    from trading.run.backtest.plan import BacktestError

    pairs = {}
    for text in options["option"]:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BacktestError(f"--option {text!r} is not NAME=VALUE")
        pairs[name] = value
    if options["data"] == SIMULATED:
        if options["seconds"] == 0:
            raise BacktestError("the simulated market has no end: give --seconds")
        return Tape(name=SIMULATED, symbols=[symbol], seed=options["seed"], options=pairs)
    path = str(data_path(options["data"]))
    return Tape(name="replay", symbols=[symbol], path=path, schema=options["schema"], options=pairs)


def _latency(words: str, seed: int) -> "Latency":
    from trading.control import session_folder
    from trading.run.backtest.plan import BacktestError
    from trading.run.journal.segment import JournalBroken
    from trading.run.tapes.latency import constant, measured

    if not words.startswith(SESSION):
        return constant(words)
    name = words.removeprefix(SESSION).removeprefix("s")
    folder = session_folder(int(name)) if name.isdigit() else Path(words.removeprefix(SESSION))
    if not folder.is_dir():
        raise BacktestError(f"{words}: no session has a journal in {folder}")
    try:
        return measured(folder, words, seed)
    except JournalBroken as error:
        raise BacktestError(f"{words}: {error}") from None


def _decides(words: str, arguments: dict[str, object], symbol: str) -> "tuple[Scoring | Asked, dict[str, Any]]":
    """Who decides, and what names it."""
    from trading.run.backtest.plan import BacktestError
    from trading.run.tapes.scores import POLICY, policy_of, scoring_of

    if words.partition(":")[0] == POLICY:
        asked = policy_of(words, arguments)
        return asked, {"strategy": words, "strategy_hash": asked.code_hash}
    if words == "column":
        raise BacktestError("on books --strategy is baseline, network:FOLDER or policy:module:Class")
    try:
        numbers = {name: float(value) for name, value in arguments.items()}  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BacktestError("an option of a scorer is a number: --set strategy.threshold=0.4") from None
    scoring = scoring_of(words, numbers, [symbol])
    return scoring, {"strategy": words, "strategy_hash": scoring.artifact_hash or settings.CODE_HASH}


def _others(options: dict[str, Any], symbol: str) -> list[str]:
    """What a file of several instruments holds beside the one that was traded."""
    from marketdata.services import instruments_of

    if options["data"] == SIMULATED:
        return []
    return [name for name in instruments_of(Path(data_path(options["data"]))) if name != symbol]


def _whole_ns(options: dict[str, Any], start_ns: int) -> int:
    """How long the tape is; 0: a file by its name, of which nobody knows it."""
    from marketdata.models import DataSet

    if options["seconds"]:
        return int(options["seconds"]) * NANOS
    row = DataSet.objects.filter(pk=int(options["data"])).first() if options["data"].isdigit() else None
    return 0 if row is None else max(1, row.last_ns - start_ns)


def _shown(bar: Bar, start_ns: int, whole_ns: int) -> Any:
    """How far the tape has come, and what is left by the pace so far."""
    began = time.monotonic()

    def show(events: int, at_ns: int) -> None:
        passed = at_ns - start_ns
        words = f"{events:,} events, {passed // NANOS:,} s of the tape"
        if whole_ns == 0:
            bar.show(0, 1, words)
            return
        done = min(passed, whole_ns)
        left = (time.monotonic() - began) * (whole_ns - done) / max(1, done)
        bar.show(done, whole_ns, f"{words}, about {left:,.0f} s left")

    return show
