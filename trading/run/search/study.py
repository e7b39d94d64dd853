"""One search: what the method proposes is tried, written down, and only then believed; a killed one goes on.

To go on is to search again: the method proposes the same points, the same neighbours of the best are looked at, and
what the ledger knows is not tried twice.  A best without its neighbourhood proves nothing (MES-OPT-06); neighbours are
trials like all others.  Called by the commands `optimise` and `walkforward`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from trading.research.luck.plateau import Point
from trading.research.records import ResearchError
from trading.research.search.halving import PARTS, POINTS_MIN, going_on, least_of
from trading.research.search.methods import ADAPTIVE, BAYES, Seen, batch, best_of, planned
from trading.research.search.space import Space
from trading.run.backtest.plan import BacktestError
from trading.run.backtest.signals import LooksAhead
from trading.run.search.crew import Crew
from trading.run.search.ledger import PART, Ledger, Trial
from trading.run.search.trial import Task, failed, words_of

PROPOSED, NEIGHBOUR, LOOK, TEST, PARTIAL = "proposed", "neighbour", "look", "test", "part"
ROUNDS_MAX = 50  # of neighbours: the best may move to one of them, and has others there
COMMIT_SHARE = 10  # a flush to the disk takes milliseconds: it is done once it is at most a tenth of the time between
SORTED = 512  # points of a random search are tried in the space's order, so many at a time: decisions are used again

Progress = Callable[[int, int, str], None]  # trials done, of how many, best so far in words


class How(NamedTuple):
    """The method with its numbers."""

    method: str
    trials: int
    seed: int
    prune: bool = False  # points of a plan that do badly on a part of the bars are given up there


class Stretch(NamedTuple):
    """A stage of a study: its name, and the rows of the tape that its trials trade; `decided`: the file of decisions
    beside the tape that they trade by, empty where the study's strategy decides."""

    stage: str
    first: int
    end: int
    decided: str = ""


class Search:
    """The search of one stretch.  `scores` is what the ledger holds of it, (point → score, None infeasible)."""

    def __init__(
        self, ledger: Ledger, crew: Crew, space: Space, how: How, stretch: Stretch, progress: Progress
    ) -> None:
        self._ledger, self._crew, self._space = ledger, crew, space
        self._how, self._stretch, self._progress = how, stretch, progress
        self.scores = ledger.scores(stretch.stage)
        self._seen: list[Seen] = []
        self._best = best_of([Seen(point, score) for point, score in self.scores.items()])
        self._wanted = min(how.trials, space.size())

    def run(self) -> Seen | None:
        """Try all, then the neighbourhood.  The best; None when no trial was feasible."""
        if self._how.method in (ADAPTIVE, BAYES):
            self._learn()
        else:
            points = planned(self._space, self._how.method, self._how.trials, self._how.seed)
            if self._how.prune and len(points) > POINTS_MIN:
                points = self._pruned(points)
            self._try(_in_order(points), PROPOSED)
            self._seen = [Seen(point, self.scores[point]) for point in points]
        # from what this run proposed alone: a neighbour that a killed run came to must not lead past its others
        self._look_around(best_of(self._seen))
        # an earlier run with other --trials may have found a better one
        self._look_around(self._best)
        return self.best()

    def best(self) -> Seen | None:
        """The best of everything that was tried on this stretch (MES-OPT-03)."""
        return self._best

    def _learn(self) -> None:
        """Batch after batch; each is a function of those before it."""
        while len(self._seen) < self._how.trials:
            points = batch(self._space, self._how.method, self._seen, self._how.seed)
            points = points[: self._how.trials - len(self._seen)]
            if not points:
                return
            self._try(points, PROPOSED)
            self._seen += [Seen(point, self.scores[point]) for point in points]

    def _pruned(self, points: list[Point]) -> list[Point]:
        """Those that go on after the parts of the stretch, each of which is tried whole before anybody is given up."""
        stage, first, end, decided = self._stretch
        trades_min = self._crew.bench.subject.trades_min
        left = points
        for share in PARTS:
            border = self._border(first + (end - first) // share)
            if border is None:
                continue
            part = Stretch(f"{stage}{PART}1/{share}", first, border, decided)
            left = going_on(self._on_part(part, left, least_of(trades_min, border - first, end - first)))
        self._wanted = len(left)
        return left

    def _border(self, row: int) -> int | None:
        """The last row up to `row` at which a session begins; None where none does behind the stretch's first."""
        bench, first = self._crew.bench, self._stretch.first
        begins = np.searchsorted(bench.tape.columns.start_ns, bench.subject.calendar.open_ns)
        inside = begins[(begins > first) & (begins <= row)]
        return int(inside[-1]) if inside.size else None

    def _on_part(self, part: Stretch, points: Sequence[Point], least: int) -> list[Seen]:
        """The scores of points on a part; what the ledger knows is not tried twice."""
        stage, first, end, decided = part
        known = self._ledger.scores(stage)

        def keep(held: list[Trial]) -> None:
            self._ledger.add(held)
            known.update({trial.point: trial.score for trial in held})
            done = sum(point in known for point in wanted)
            self._progress(done, len(wanted), f"on the first {stage.rpartition(PART)[2]} of the bars")

        wanted = set(points)
        missing = [point for point in _in_order(points) if point not in known]
        task = Task(stage, PARTIAL, (), first, end, trades_min=least, decided=decided)
        self._all([task._replace(point=point) for point in missing], keep)
        return [Seen(point, known[point]) for point in points]

    def _look_around(self, best: Seen | None) -> None:
        """Try what is around `best`, go to the best there, and so on until nothing around is better."""
        for _ in range(ROUNDS_MAX):
            if best is None or best.score is None or best.score <= 0:
                return
            around = self._space.neighbours(best.point)
            if missing := [point for point in around if point not in self.scores]:
                self._wanted += len(missing)
                self._try(missing, NEIGHBOUR)
            highest = best_of([best, *(Seen(point, self.scores[point]) for point in around)])
            if highest == best:
                return
            best = highest

    def _try(self, points: Sequence[Point], kind: str) -> None:
        """Try what is not known yet."""
        stage, first, end, decided = self._stretch
        task = Task(stage, kind, (), first, end, decided=decided)
        self._all([task._replace(point=point) for point in points if point not in self.scores], self._write)

    def _all(self, tasks: Sequence[Task], keep: Callable[[list[Trial]], None]) -> None:
        """Run tasks and keep their trials.  Whatever happens, what was finished is kept."""
        held: list[Trial] = []

        def write() -> None:
            if held:
                keep(held)
                held.clear()

        ended, took = 0.0, 0.0
        try:
            for trial in self._crew.run(tasks):
                held.append(trial)
                if (began := time.monotonic()) - ended >= COMMIT_SHARE * took:
                    write()
                    ended = time.monotonic()
                    took = ended - began
        finally:
            write()

    def _write(self, held: list[Trial]) -> None:
        self._ledger.add(held)
        self.scores |= {trial.point: trial.score for trial in held}
        found = [Seen(trial.point, trial.score) for trial in held]
        self._best = best_of(found if self._best is None else [self._best, *found])
        words = "" if self._best is None else f"best {self._best.score:.4g}"
        self._progress(len(self.scores), max(self._wanted, len(self.scores)), words)


def _in_order(points: Sequence[Point]) -> list[Point]:
    """A plan in the space's order, so many points at a time."""
    return [point for at in range(0, len(points), SORTED) for point in sorted(points[at : at + SORTED])]


def look(ledger: Ledger, crew: Crew, stretch: Stretch, points: Iterable[Point], trades_min: int) -> list[Trial]:
    """Trials of these points on a stretch, tried once and never again; in the order of the points."""
    wanted = list(points)
    known = ledger.scores(stretch.stage)
    stage, first, end, decided = stretch
    task = Task(stage, LOOK, (), first, end, trades_min=trades_min, decided=decided)
    for trial in crew.run([task._replace(point=point) for point in wanted if point not in known]):
        ledger.add([trial])
    found = [ledger.one(stage, point) for point in wanted]
    return [trial for trial in found if trial is not None]


def once(ledger: Ledger, crew: Crew, stretch: Stretch, point: Point, trades_min: int) -> Trial:
    """The one test of a stretch, with its trades and curve; the ledger refuses a second one (MES-WF-02).

    Raises LooksAhead, found by the full question: then the test is not traded, and so not spent; ResearchError where
    other parameters were tested before."""
    stage, first, end, decided = stretch
    if (known := ledger.one(stage, point)) is not None:
        return known
    for other in ledger.trials(stage, TEST):
        space = crew.bench.subject.space
        raise ResearchError(
            f"{stage} was traded before with {words_of(space.values(other.point))}, and a test is traded once: now"
            f" {words_of(space.values(point))} was chosen, so the search gives another result than it did; does the"
            " strategy draw at random?"
        )
    task = Task(stage, TEST, point, first, end, keep_rows=True, trades_min=trades_min, decided=decided)
    try:
        if not decided:
            crew.bench.proven(point, end)
        trial = crew.bench.run(task)
    except LooksAhead:
        raise
    except BacktestError as error:  # it fails on these bars, which is the result of the test
        trial = failed(task, "", str(error))
    ledger.add([trial])
    return trial
