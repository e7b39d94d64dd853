"""Walk-forward: search in the past, choose in the less distant past, trade what comes after, fold by fold (MES-WF).

Training is searched; of the best there, the one that does best in validation is chosen; the test is traded once, and
the ledger refuses to trade it again.  A strategy's function is given the bars up to the part's end and no later ones;
every position ends inside its part, so nothing reaches over a border (purge), and the first sessions of validation and
test are left out (embargo).  A fold that cannot be run says why and stays.  Called by the command `walkforward`.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from marketdata.calendars import Session
from trading.learning.dataset import DataError
from trading.research.figures import Figure, figure
from trading.research.fold_results import FoldResult
from trading.research.folds import Fold, Part, Sessions
from trading.research.luck.plateau import Point
from trading.research.search.combine import combined
from trading.research.search.methods import Seen
from trading.research.search.space import Space
from trading.run.backtest.breakeven import break_even
from trading.run.backtest.dearer import Rerun
from trading.run.search.crew import Crew
from trading.run.search.ledger import Ledger, Trial
from trading.run.search.study import How, Progress, Search, Stretch, look, once
from trading.run.search.trial import Task

Retrain = Callable[[Fold], str]  # → name of the fold's decisions; raises DataError
CHOSEN_OF = 5  # best of training that are looked at in validation
TRAIN, VALIDATION, TEST, COMBINED = "train", "validation", "test", "combined"


class Outcome(NamedTuple):
    """One fold.  What was not reached is None; `reason` is empty where the test was traded."""

    fold: Fold
    reason: str
    chosen: Point | None = None
    train: Trial | None = None
    validation: Trial | None = None
    test: Trial | None = None

    def result(self) -> FoldResult:
        """As research counts it."""
        return FoldResult(
            self.fold.number,
            self.reason,
            self.test.trades if self.test else 0,
            self.test.net_micros if self.test else 0,
            _metric(self.validation, self.reason),
            _metric(self.test, self.reason),
        )


class Walk:
    """All folds of one study."""

    def __init__(
        self,
        ledger: Ledger,
        crew: Crew,
        space: Space,
        how: How,
        starts_ns: np.ndarray,
        sessions: Sessions,
        choose: int,
        retrain: Retrain | None = None,
    ) -> None:
        """`retrain`: gives the decisions of a fold, a file beside the tape; None: the study's strategy decides."""
        self._retrain = retrain
        self._decided: dict[int, str] = {}
        self._ledger, self._crew, self._space, self._how = ledger, crew, space, how
        self._starts_ns, self._sessions, self._choose = starts_ns, sessions, choose
        self._least = crew.bench.subject.trades_min

    def run(self, folds: Sequence[Fold], progress: Callable[[Fold], Progress]) -> list[Outcome]:
        """Every fold, in order."""
        return [self._fold(fold, progress(fold)) for fold in folds]

    def combine(self, outcomes: Sequence[Outcome]) -> tuple[Point, list[Trial]] | None:
        """One point for all folds, and its trials on the stretches of their tests (MES-OPT-05); None without a choice.

        It was made of trainings that reach over earlier tests, so these trials are no longer outside the sample."""
        run = [outcome for outcome in outcomes if outcome.chosen is not None]
        if not run:
            return None
        point = combined(self._space, [outcome.chosen for outcome in run if outcome.chosen is not None])
        found: list[Trial] = []
        for outcome in run:
            stretch = self._stretch(outcome.fold, TEST)._replace(stage=stage_of(outcome.fold, COMBINED))
            found += look(self._ledger, self._crew, stretch, [point], 1)
        return point, found

    def dearer(self, outcomes: Sequence[Outcome]) -> tuple[Rerun, ...]:
        """The tests traded anew where trading costs more, each from the starting capital as it was tested, together;
        empty without a test (MES-GUARD-05)."""
        found: dict[Fraction, Rerun] = {}
        for outcome in outcomes:
            if outcome.test is None or outcome.chosen is None:
                continue
            stage, first, end, decided = self._stretch(outcome.fold, TEST)
            for run in self._crew.bench.dearer(Task(stage, TEST, outcome.chosen, first, end, decided=decided)):
                known = found.get(run.factor, Rerun(run.factor, 0, 0))
                found[run.factor] = Rerun(run.factor, known.trades + run.trades, known.net_micros + run.net_micros)
        return tuple(found.values())

    def break_even(self, outcomes: Sequence[Outcome]) -> Figure:
        """The win rate at which the brackets of the tests earn nothing after costs, each counted by its trades
        (MES-COST-05)."""
        weighted, trades = 0.0, 0
        for outcome in outcomes:
            if outcome.test is None or outcome.chosen is None:
                continue
            plan = self._crew.bench.plan(self._space.values(outcome.chosen))
            assert not isinstance(plan, str), "it was traded"
            found = break_even(plan)
            if found["after"] is None:
                return Figure(None, f"Fold {outcome.fold.number} has no break-even win rate: {found['why'].lower()}")
            weighted, trades = weighted + outcome.test.trades * found["after"], trades + outcome.test.trades
        return figure(weighted / trades) if trades else Figure(None, "No test made a trade")

    def _fold(self, fold: Fold, progress: Progress) -> Outcome:
        if fold.reason:
            return Outcome(fold, fold.reason)
        if self._retrain is not None:
            try:
                self._decided[fold.number] = self._retrain(fold)
            except DataError as error:
                return Outcome(fold, f"its network cannot be trained: {error}")
        stretches = {name: self._stretch(fold, name) for name in (TRAIN, VALIDATION, TEST)}
        for name, stretch in stretches.items():
            if stretch.first >= stretch.end:
                return Outcome(fold, f"there is no bar in its sessions for {name}")
        search = Search(self._ledger, self._crew, self._space, self._how, stretches[TRAIN], progress)
        if search.run() is None:
            return Outcome(fold, f"no trial is feasible in training: {self._why(stretches[TRAIN].stage)}")
        seen = look(
            self._ledger,
            self._crew,
            stretches[VALIDATION],
            best_points(search.scores, self._choose),
            self._part_min(fold),
        )
        feasible = [trial for trial in seen if trial.score is not None]
        if not feasible:
            return Outcome(fold, f"none of the {len(seen)} best of training is feasible in validation: {seen[0].why}")
        chosen = max(feasible, key=lambda trial: trial.score or 0.0)  # of equals the better one in training
        test = once(self._ledger, self._crew, stretches[TEST], chosen.point, 1)
        train = self._ledger.one(stretches[TRAIN].stage, chosen.point)
        if test.days is None:
            return Outcome(fold, f"the test could not be traded: {test.why}", chosen.point, train, chosen)
        return Outcome(fold, "", chosen.point, train, chosen, test)

    def _stretch(self, fold: Fold, name: str) -> Stretch:
        part: Part = getattr(fold, name)
        opens_ns, closes_ns = self._sessions.open_ns[part.first], self._sessions.close_ns[part.end - 1]
        first, end = np.searchsorted(self._starts_ns, [opens_ns, closes_ns]).tolist()
        return Stretch(stage_of(fold, name), first, end, self._decided.get(fold.number, ""))

    def _part_min(self, fold: Fold) -> int:
        """Least trades in validation: as many for its sessions as training must have for its own."""
        return max(1, math.ceil(self._least * fold.validation.sessions / fold.train.sessions))

    def _why(self, stage: str) -> str:
        reasons = [trial.why for trial in self._ledger.trials(stage)]
        return max(sorted(set(reasons)), key=reasons.count)


def stage_of(fold: Fold, name: str) -> str:
    """The ledger's name of a fold's part."""
    return f"fold {fold.number} {name}"


def best_points(scores: dict[Point, float | None], count: int) -> list[Point]:
    """The best of a search, best first; of equals the first in the order of the space."""
    feasible = [Seen(point, score) for point, score in scores.items() if score is not None]
    ordered = sorted(feasible, key=lambda item: (-(item.score or 0.0), item.point))
    return [item.point for item in ordered[:count]]


def sessions_of(sessions: Sequence[Session]) -> Sessions:
    """Sessions of a calendar as folds count them."""
    return Sessions(
        np.array([session.trading_day for session in sessions], np.int64),
        np.array([session.open_ns for session in sessions], np.int64),
        np.array([session.close_ns for session in sessions], np.int64),
    )


def _metric(trial: Trial | None, reason: str) -> Figure:
    if trial is None:
        return Figure(None, reason or "It was not traded")
    return Figure(trial.score, trial.why)
