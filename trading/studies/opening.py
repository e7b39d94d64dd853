"""What the words of `optimise` and `walkforward` open: a space, a folder with its ledger, the bars on disk, the
workers.

The folder's name is made of what is searched, so the same command finds its study again and goes on; a folder that was
named holds one study alone.  Nothing is tried here.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.core.management.base import CommandParser

from trading.config.paths import changed, check_path
from trading.config.schema import ConfigError, parse_profile
from trading.management.history import (
    STRATEGY,
    History,
    add_history_arguments,
    changes_of,
    opened,
    reader_options,
    registry_file,
)
from trading.management.progress import Bar
from trading.research.records import ResearchError
from trading.research.search.halving import KEPT, PARTS
from trading.research.search.methods import GRID, METHODS, PLANNED, TRIALS
from trading.research.search.objective import OBJECTIVES, SHARPE, TRADES_MIN
from trading.research.search.space import Parameter, Space, flag_of, space_of
from trading.studies.spaces import shipped_spaces, space_file

if TYPE_CHECKING:
    from trading.run.search.crew import Crew
    from trading.run.search.ledger import Ledger
    from trading.run.search.report import Named
    from trading.run.search.study import How
    from trading.run.search.trial import Subject

FIXED = ("risk.capital", "risk.bar_mode")  # results at other capital do not compare; bars need bar mode
TAPE = ".bars"
WORKERS_MAX = 256
HANDS = 8  # workers of the queue that are asked for unless somebody says otherwise


class Study(NamedTuple):
    """An open study."""

    history: History
    space: Space
    folder: Path
    ledger: "Ledger"
    crew: "Crew"
    rows: int  # bars that are traded
    how: "How"
    named: "Named"


def add_search_arguments(parser: CommandParser) -> None:
    """The words about data and profile, and those about the search."""
    add_history_arguments(parser)
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="PATH=VALUES",
        help="a parameter: risk.stop_ticks=4..16/2, risk.confidence_min='60..85/5 %%', risk.stop_method=fixed,atr,"
        " strategy.depth=2..6/1 (an argument of the function); may repeat",
    )
    names = ", ".join(shipped_spaces())
    parser.add_argument("--space", help=f"a shipped space ({names}) or a YAML file of parameters (docs/optimise.md)")
    parser.add_argument("--method", choices=METHODS, default=GRID, help="grid, random, adaptive or bayes (grid)")
    words = ", ".join(f"{count:,} for {name}" for name, count in TRIALS.items())
    parser.add_argument("--trials", type=int, help=f"how many are tried ({words}; a larger grid is drawn from)")
    objectives = "; ".join(f"{name}: {text}" for name, text in OBJECTIVES.items())
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default=SHARPE, help=f"to be highest. {objectives}")
    parser.add_argument("--min-trades", type=int, default=TRADES_MIN, help=f"fewer: infeasible ({TRADES_MIN})")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="grid and random: all points on a ninth of the bars, the best third on a third, their best third on all",
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (1)")
    parser.add_argument(
        "--workers",
        type=int,
        help="processes (as many as cores); 1: this one; with --distributed: workers of the queue (8)",
    )
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="run the trials on the study workers of the desk, on every machine that shares its database and this"
        " folder; the result is the same",
    )
    parser.add_argument("--out", type=Path, help="folder of the study (var/studies/NAME, made of what is searched)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON and nothing else")
    parser.add_argument("--progress-lines", action="store_true", help="tell a program how far it is, on stderr")


@contextlib.contextmanager
def study(options: dict[str, Any], purpose: dict[str, Any], say: Callable[[str], object]) -> Iterator[Study]:
    """Open everything; `purpose` is what else names the study.  Raises what `history.refusals` lists, OSError."""
    from trading.run.search import tape
    from trading.run.search.ledger import Ledger
    from trading.run.search.report import Named
    from trading.run.search.study import How
    from trading.run.search.trial import Subject

    workers = _checked(options)
    space = space_from(options)
    history = opened(options, "day")
    check_space(space, history)
    if options["distributed"]:
        from trading.studies.hired import check_queue

        check_queue(say)
    source, calendar = history.source, history.calendar
    rows_max, _, _ = source.estimate()
    identity = _identity(options, history, space, purpose)
    folder = _folder(options["out"], identity)
    with Ledger(folder, counted=registry_file()) as ledger:
        ledger.identify(identity)
        chunks = source.chunks if history.strategy.function is None else source.bars
        try:
            with Bar(quiet=options["json"], lines=options["progress_lines"]) as bar:
                show = Shown(bar, "rows read").rows
                rows = tape.write(folder / TAPE, chunks(calendar, show), rows_max, history.instrument.tick_nanos)
            if rows == 0:
                name, symbol = source.path.name, history.instrument.symbol
                raise ResearchError(f"{name} holds no bar of {symbol} in a session between these dates")
            subject = Subject(
                tape=folder.resolve() / TAPE,
                calendar=calendar,
                profile=history.profile.to_values(),
                instrument=history.instrument,
                limit_fill=options["limit_fill"],
                strategy=history.strategy.words,
                arguments=history.strategy.arguments,
                folder=str(Path.cwd()),
                space=space,
                objective=options["objective"],
                trades_min=options["min_trades"],
            )
            say(f"{source.path.name}: {rows:,} bars, {space.size():,} points, {workers} workers; {folder}")
            method = options["method"]
            how = How(method, options["trials"] or TRIALS[method], options["seed"], options["prune"])
            inputs = {name: identity[name] for name in INPUTS} | {"set": identity["settings"]}
            named = Named(inputs, source.contracts, source.outside, dict(source.dropped))
            with _crew(options, subject, identity, history, workers, ledger, say) as crew:
                yield Study(history, space, folder, ledger, crew, rows, how, named)
        finally:
            shutil.rmtree(folder / TAPE, ignore_errors=True)


def _crew(
    options: dict[str, Any],
    subject: "Subject",
    identity: dict[str, Any],
    history: History,
    workers: int,
    ledger: "Ledger",
    say: Callable[[str], object],
) -> "Crew":
    """Who runs the trials.  What workers of the queue answered to nobody is in the ledger before anything is tried."""
    if not options["distributed"]:
        from trading.run.search.crew import Crew

        return Crew(subject, workers)
    from trading.studies.hired import HiredCrew, key_of

    hired = HiredCrew(subject, key_of(identity), history.strategy.code_hash, workers, say)
    try:
        if found := hired.left_over(ledger):
            say(f"{found:,} trials that workers had answered before were added")
    except BaseException:
        hired.__exit__(None, None, None)
        raise
    return hired


INPUTS = ("data", "data_hash", "from", "to", "strategy", "strategy_hash", "code_hash")


class Shown:
    """Progress with the time that is left, by what was done since it began to be shown."""

    def __init__(self, bar: Bar, what: str) -> None:
        self._bar, self._what = bar, what
        self._began = time.monotonic()
        self._first: int | None = None
        self._last = 0

    def rows(self, done: int, total: int) -> None:
        self.show(done, total, "")

    def show(self, done: int, total: int, words: str) -> None:
        if self._first is None or done < self._last:  # it begins, or begins anew with a part
            self._first, self._began = done, time.monotonic()
        self._last = done
        new = done - self._first
        left = (time.monotonic() - self._began) / new * (total - done) if new > 0 else 0.0
        told = [f"{done:,} of {total:,} {self._what}", *([f"about {left:,.0f} s left"] if new > 0 else [])]
        self._bar.show(done, total, ", ".join([*told, *([words] if words else [])]))


def space_from(options: dict[str, Any]) -> Space:
    """The space that --space and --param declare together.  Raises ResearchError, OSError."""
    declared: dict[str, object] = {}
    if options["space"] is not None:
        declared |= space_file(options["space"])
    for word in options["param"]:
        path, how = flag_of(word)
        if path in declared:
            raise ResearchError(f"{path} is declared twice")
        declared[path] = how
    return space_of(declared)


def check_space(space: Space, history: History) -> None:
    """Refuse what can never be tried (MES-OPT-01): unknown names, values that the profile always refuses."""
    from trading.run.backtest.signals import with_arguments

    given = dict(history.strategy.arguments)
    for item in space.parameters:
        if item.path.startswith(STRATEGY):
            with_arguments(history.strategy, given | {item.path.removeprefix(STRATEGY): item.values[0]})
    check_values(space, history.profile.to_values())


def check_values(space: Space, values: dict[str, Any]) -> None:
    """The same of a configuration's values, arguments passed over.  Raises ResearchError, ConfigError."""
    searched = {item.path for item in space.parameters}
    for item in space.parameters:
        if item.path.startswith(STRATEGY):
            continue
        check_path(item.path)
        if item.path in FIXED:
            raise ResearchError(f"{item.path} cannot be searched: results would not compare")
        for value in item.values:
            _check_value(item, value, values, searched)


def _check_value(item: Parameter, value: object, values: dict[str, Any], searched: set[str]) -> None:
    """A value may contradict another one that is searched beside it: then it is for the points to say."""
    tied = {path: wanted for path, wanted in item.when if not path.startswith(STRATEGY)}
    try:
        parse_profile(changed(values, tied | {item.path: value}))
    except ConfigError as error:
        for fault in error.faults:
            others = [path for path in searched - {item.path} if path.partition(".")[2] in fault]
            if not others:
                raise ResearchError(f"{item.path} = {value} can never be traded: {fault}") from None


def _checked(options: dict[str, Any]) -> int:
    """The number of workers, once the numbers make sense."""
    for name, least in (("trials", 1), ("min_trades", 0), ("seed", 0), ("workers", 1)):
        value = options[name]
        if value is not None and value < least:
            raise ResearchError(f"--{name.replace('_', '-')} {value}: at least {least}")
    if options["prune"] and options["method"] not in PLANNED:
        fit = " and ".join(PLANNED)
        raise ResearchError(f"--prune is for {fit}: {options['method']} learns from whole trials alone")
    usual = HANDS if options["distributed"] else len(os.sched_getaffinity(0))
    workers = int(options["workers"] or usual)
    if workers > WORKERS_MAX:
        raise ResearchError(f"--workers {workers}: {WORKERS_MAX} at most")
    return workers


def _identity(options: dict[str, Any], history: History, space: Space, purpose: dict[str, Any]) -> dict[str, Any]:
    """What a study is, so that another one is not mixed into it.  The number of trials may grow."""
    source, strategy = history.source, history.strategy
    return {
        **purpose,
        "data": source.path.name,
        "data_hash": source.data_hash(),
        "from": options["first"] or None,
        "to": options["last"] or None,
        "symbol": history.instrument.symbol,
        "option": _given_options(options["option"]),
        "configuration": history.plan.config_hash,
        "limit_fill": options["limit_fill"],
        "strategy": strategy.words,
        "strategy_hash": strategy.code_hash or None,
        "settings": changes_of(options["changes"]),
        "space": [
            {"path": p.path, "values": list(p.values), "ordered": p.ordered, "when": [list(pair) for pair in p.when]}
            for p in space.parameters
        ],
        "method": options["method"],
        **({"prune": [*PARTS, KEPT]} if options["prune"] else {}),
        "objective": options["objective"],
        "least_trades": options["min_trades"],
        "seed": options["seed"],
        "code_hash": settings.CODE_HASH,
    }


def _given_options(words: list[str]) -> dict[str, Any]:
    """The reader's options that were given, by name: another contract, zone or length of a bar is other bars."""
    from marketdata.feeds.options import ReplayOptions

    absent, given = ReplayOptions(), reader_options(words)
    values = {item.name: getattr(given, item.name) for item in dataclasses.fields(given)}
    return {name: value for name, value in values.items() if value != getattr(absent, name)}


def _folder(wanted: Path | None, identity: dict[str, Any]) -> Path:
    """The folder, made if it is new.  Raises ResearchError for a place that holds something else."""
    from trading.run.search.ledger import FILE

    if wanted is None:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
        folder = Path(settings.VAR) / "studies" / f"{identity['purpose']}-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if not wanted.parent.is_dir():
        raise ResearchError(f"the folder {wanted.parent} does not exist; make it first")
    if wanted.exists() and (not wanted.is_dir() or (any(wanted.iterdir()) and not (wanted / FILE).is_file())):
        raise ResearchError(f"{wanted} holds no study; name a new folder with --out")
    wanted.mkdir(exist_ok=True)
    return wanted
