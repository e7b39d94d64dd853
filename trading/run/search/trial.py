"""One trial: a point's configuration and decisions on one stretch of bars, through the loop, to one figure.

Every trial has an engine of its own, so nothing of an earlier one is left in it and it does not matter which process
runs it (MES-OPT-04).  What two trials share is kept: profiles that were checked, decisions that were made.  What a
point cannot do is its result, with the reason; only a fault of the study itself is raised.  Called by `crew`.
"""

import traceback
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.instruments import Instrument
from trading.config.paths import changed
from trading.config.schema import ConfigError, parse_profile
from trading.core.history.records import TRADE
from trading.research.forward.joined import turns_of
from trading.research.luck.plateau import Point
from trading.research.records import Days, ResearchError
from trading.research.search.objective import worth_of
from trading.research.search.space import Space, Value
from trading.run.backtest.dearer import Rerun, reruns_of
from trading.run.backtest.engine import Backtest, Result
from trading.run.backtest.plan import BacktestError, Calendar, Plan, plan_of
from trading.run.backtest.signals import Decisions, Strategy, check_prefix, decide, with_arguments
from trading.run.search.ledger import NONE, Trial
from trading.run.search.tape import Tape

STRATEGY = "strategy."  # path of an argument of the strategy's function
DECISIONS_BYTES = 256_000_000  # of decisions that a process remembers
PROFILES_KEPT = 4_096


class Subject(NamedTuple):
    """What is searched on which bars: everything that a worker process is told once."""

    tape: Path
    calendar: Calendar
    profile: dict[str, Any]  # plain values; the points change them
    instrument: Instrument
    limit_fill: str
    strategy: str  # in words: a worker imports it by itself
    arguments: tuple[tuple[str, object], ...]  # given for every trial
    folder: str  # where the strategy's module lies
    space: Space
    objective: str
    trades_min: int


class Task(NamedTuple):
    """One trial that is wanted: rows `first` .. `end` of the tape are traded, nothing behind `end` is seen."""

    stage: str
    kind: str
    point: Point
    first: int
    end: int
    keep_rows: bool = False  # its trades, and the turns of its curve
    trades_min: int | None = None  # None: the study's
    decided: str = ""  # file of decisions beside the tape, in the place of the strategy


class Bench:
    """Where trials are run, one after another.  Attributes: subject, tape, strategy."""

    def __init__(self, subject: Subject, tape: Tape, strategy: Strategy) -> None:
        self.subject, self.tape, self.strategy = subject, tape, strategy
        self._plans: OrderedDict[tuple[tuple[str, Value], ...], Plan | str] = OrderedDict()
        self._decisions: OrderedDict[tuple[object, ...], Decisions | str] = OrderedDict()

    def run(self, task: Task) -> Trial:
        """The trial.  Raises ResearchError, with its parameters, for what is no result of its point but a fault."""
        values = self.subject.space.values(task.point)
        try:
            return self._tried(task, values)
        except Exception as error:  # it ends the study, and every later run of it here again: say where that is
            raise ResearchError(
                f"the trial of {words_of(values)} ({task.stage}) broke off: {_fault(error)}; the other trials are kept,"
                " but the study cannot go on before this is mended: without these values it is another study"
            ) from error

    def _tried(self, task: Task, values: dict[str, Value]) -> Trial:
        plan = self.plan(values)
        if isinstance(plan, str):
            return failed(task, "", plan)
        decisions = self._read(task.decided) if task.decided else self._decide(values, task.end)
        if isinstance(decisions, str):
            return failed(task, plan.config_hash, decisions)
        if task.keep_rows:
            plan = replace(plan, equity_sample="bar")
        result = trade(plan, self.subject.calendar, self.tape, decisions, task.first, task.end)
        days = days_of(result)
        net = np.ascontiguousarray(result.trades["net_micros"])
        least = self.subject.trades_min if task.trades_min is None else task.trades_min
        worth = worth_of(self.subject.objective, days, net, least)
        points = result.points
        return Trial(
            stage=task.stage,
            kind=task.kind,
            point=task.point,
            score=worth.score,
            why=worth.why,
            trades=len(net),
            net_micros=int(net.sum()),
            sharpe=worth.sharpe,
            config_hash=plan.config_hash,
            days=days,
            rows=result.trades.tobytes() if task.keep_rows else b"",
            curve=turns_of(points["ts_ns"], points["equity_micros"], days.close_ns) if task.keep_rows else NONE,
        )

    def dearer(self, task: Task) -> tuple[Rerun, ...]:
        """The task's rows traded anew by the same decisions where trading costs more (MES-GUARD-05).  Raises
        ResearchError for what cannot be traded."""
        values = self.subject.space.values(task.point)
        plan = self.plan(values)
        decisions = self._read(task.decided) if task.decided else self._decide(values, task.end)
        for found in (plan, decisions):
            if isinstance(found, str):
                raise ResearchError(f"{task.stage} cannot be traded anew at other costs: {found}")
        assert not isinstance(plan, str) and not isinstance(decisions, str)
        window = self.tape.window(task.first, task.end, decisions)
        return reruns_of(plan, [(self.tape.bar_ns, window)], self.subject.calendar)

    def plan(self, values: dict[str, Value]) -> Plan | str:
        """The plan of a point's configuration, or why there is none."""
        changes = tuple((path, value) for path, value in values.items() if not path.startswith(STRATEGY))
        if (known := self._plans.get(changes)) is not None:
            self._plans.move_to_end(changes)
            return known
        found: Plan | str
        try:
            profile = parse_profile(changed(self.subject.profile, dict(changes)))
            found = plan_of(profile, self.subject.instrument, limit_fill=self.subject.limit_fill, equity_sample="day")
        except ConfigError as error:
            found = "; ".join(error.faults)
        except BacktestError as error:
            found = str(error)
        self._plans[changes] = found
        if len(self._plans) > PROFILES_KEPT:
            self._plans.popitem(last=False)
        return found

    def proven(self, point: Point, end: int) -> Decisions:
        """Decisions on the bars up to `end`, the function asked in full whether it looks ahead; columns as they are.

        Raises LooksAhead, and BacktestError when it fails."""
        if self.strategy.function is None:
            return self.tape.own_decisions()
        arguments = dict(self.subject.arguments) | arguments_of(self.subject.space.values(point))
        strategy, bars = with_arguments(self.strategy, arguments), self.tape.bars.first(end)
        found = decide(strategy, bars)
        check_prefix(strategy, bars, found)
        return found

    def _read(self, name: str) -> Decisions:
        """Decisions that were made beforehand for the whole tape (`trading.run.forward.retraining`)."""
        if (known := self._decisions.get((name,))) is None:
            side, confidence = np.load(self.subject.tape / name)
            known = self._decisions[name,] = Decisions(side.astype(np.int8), confidence.astype(np.int32))
        assert not isinstance(known, str)
        return known

    def _decide(self, values: dict[str, Value], end: int) -> Decisions | str:
        """Decisions on the bars up to `end`, by which alone they were made."""
        if self.strategy.function is None:
            return self.tape.own_decisions()
        arguments = arguments_of(values)
        key = (end, *arguments.items())
        if (known := self._decisions.get(key)) is not None:
            self._decisions.move_to_end(key)
            return known
        strategy = with_arguments(self.strategy, dict(self.subject.arguments) | arguments)
        bars = self.tape.bars.first(end)
        found: Decisions | str
        try:
            found = decide(strategy, bars)
            check_prefix(strategy, bars, found, quick=True)
        except BacktestError as error:
            found = str(error)
        self._decisions[key] = found
        while len(self._decisions) > 1 and self._bytes() > DECISIONS_BYTES:
            self._decisions.popitem(last=False)
        return found

    def _bytes(self) -> int:
        return sum(
            sum(column.nbytes for column in kept) for kept in self._decisions.values() if not isinstance(kept, str)
        )


def words_of(values: dict[str, Value]) -> str:
    """A point in words."""
    return ", ".join(f"{path}={value}" for path, value in values.items())


def _fault(error: Exception) -> str:
    """What went wrong and where, for an assertion often has no text."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    text = f": {' '.join(str(error).split())}" if str(error) else ""
    return f"{type(error).__name__} in {Path(at.filename).name} line {at.lineno}{text}"


def arguments_of(values: dict[str, Value]) -> dict[str, Value]:
    """What of a point is for the strategy's function."""
    return {path.removeprefix(STRATEGY): value for path, value in values.items() if path.startswith(STRATEGY)}


def trade(plan: Plan, calendar: Calendar, tape: Tape, decisions: Decisions, first: int, end: int) -> Result:
    """A fresh account on rows `first` .. `end`: the starting capital and no holds (MES-WF-02)."""
    run = Backtest(plan, calendar, tape.bar_ns, int(tape.columns.start_ns[first]))
    run.feed(tape.window(first, end, decisions))
    return run.end()


def days_of(result: Result) -> Days:
    """Sessions of a result, for figures of daily equity."""
    days = result.days
    plain = (np.ascontiguousarray(days[name]) for name in ("ts_ns", "equity_micros"))
    return Days(result.first_ns, result.plan.capital_micros, result.trading_days, *plain)


def trades_from(rows: bytes) -> np.ndarray:
    """(n,) TRADE from what a trial kept."""
    return np.frombuffer(rows, TRADE)


def failed(task: Task, config_hash: str, why: str) -> Trial:
    """A trial that ended before its first bar, with the reason."""
    return Trial(task.stage, task.kind, task.point, None, why, 0, 0, None, config_hash, None)
