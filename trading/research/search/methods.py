"""What a search tries next: whole plans (grid, random) and batches that learn (adaptive, Bayesian), MES-OPT-02.

Everything is seeded and proposes points of the space alone, none twice.  A batch is a function of the seed and of what
was seen before it, never of how many workers there are or of who finished first: a search that was killed proposes the
same again (MES-OPT-04).  Scores are the higher the better; None is infeasible.  Called by `trading.run.search`.
"""

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from trading.research.luck.plateau import ABSENT, Point
from trading.research.search.space import Space

GRID, RANDOM, ADAPTIVE, BAYES = "grid", "random", "adaptive", "bayes"
METHODS = (GRID, RANDOM, ADAPTIVE, BAYES)
PLANNED = (GRID, RANDOM)  # whose points are known before the first trial
TRIALS = {GRID: 10_000, RANDOM: 100, ADAPTIVE: 100, BAYES: 100}  # the grid's is a cap: above it points are drawn
BATCH = 8  # of the methods that learn
START_UP = 10  # random points before the Bayesian one believes what it saw
EXPLORED = 0.3  # of the adaptive method's points are random
RADIUS_MIN = 0.1
RADIUS_TRIALS = 100  # over which the radius shrinks
TRIES = 50  # draws for one new point before the space is walked instead
ASKS = 6  # proposals of a method for one new point before the rest is drawn


class Seen(NamedTuple):
    """A point that was tried, in the order in which it was proposed."""

    point: Point
    score: float | None


def planned(space: Space, method: str, trials: int, seed: int) -> list[Point]:
    """All points of a grid or of a random search.  More `trials` of the same search begin with the same points."""
    assert method in PLANNED
    if space.size() <= trials:
        return list(space.points())
    rng = np.random.default_rng([seed, 0])
    return list(_new_points(space, rng, set(), trials))


def batch(space: Space, method: str, seen: Sequence[Seen], seed: int, size: int = BATCH) -> list[Point]:
    """The next points of a search that learns; fewer than `size` when the space has no more, none at its end."""
    assert method in (ADAPTIVE, BAYES)
    tried = {item.point for item in seen}
    rng = np.random.default_rng([seed, 1, len(seen)])
    found: list[Point] = []
    proposals = _adaptive(space, seen, rng) if method == ADAPTIVE else _bayes(space, seen, seed)
    for point in islice(proposals, size * ASKS):
        if point not in tried:
            tried.add(point)
            found.append(point)
        if len(found) == size:
            return found
    return found + list(_new_points(space, rng, tried, size - len(found)))


def best_of(seen: Sequence[Seen]) -> Seen | None:
    """The best; of equals the first in the order of the space, whoever found it first (MES-OPT-03)."""
    feasible = [item for item in seen if item.score is not None]
    return min(feasible, key=lambda item: (-(item.score or 0.0), item.point)) if feasible else None


def _new_points(space: Space, rng: np.random.Generator, tried: set[Point], count: int) -> Iterator[Point]:
    """`count` random points that were not tried; where most were, the rest in the space's order."""
    known = set(tried)
    for _ in range(count):
        for _ in range(TRIES):
            point = space.random_point(rng)
            if point not in known:
                break
        else:
            point = next((other for other in space.points() if other not in known), ())
            if not point:
                return
        known.add(point)
        yield point


def _adaptive(space: Space, seen: Sequence[Seen], rng: np.random.Generator) -> Iterator[Point]:
    """Around the best so far, nearer and nearer; three in ten anywhere."""
    best = best_of(seen)
    radius = max(RADIUS_MIN, 1 - len(seen) / RADIUS_TRIALS)
    while True:
        if best is None or rng.random() < EXPLORED:
            yield space.random_point(rng)
            continue
        moved = []
        for item, at in zip(space.parameters, best.point, strict=True):
            n = len(item.values)
            if at == ABSENT:
                moved.append(int(rng.integers(n)))
            elif item.ordered:
                reach = max(1, round(radius * (n - 1)))
                moved.append(min(n - 1, max(0, at + int(rng.integers(-reach, reach + 1)))))
            else:
                moved.append(int(rng.integers(n)) if rng.random() < radius else at)
        yield space.settled(moved)


def _bayes(space: Space, seen: Sequence[Seen], seed: int) -> Iterator[Point]:
    """Tree-structured Parzen estimator of Optuna, asked in a batch: what was proposed in it is not known to it yet.

    Infeasible points are told as pruned: worse than every score, whatever the score is.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=START_UP, seed=int(np.random.SeedSequence([seed, 2, len(seen)]).generate_state(1)[0])
        )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    kinds = [
        optuna.distributions.IntDistribution(0, len(item.values) - 1)
        if item.ordered
        else optuna.distributions.CategoricalDistribution(list(range(len(item.values))))
        for item in space.parameters
    ]
    named = [(item.path, kind) for item, kind in zip(space.parameters, kinds, strict=True)]
    states = optuna.trial.TrialState
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={path: at for (path, _), at in zip(named, point, strict=True) if at != ABSENT},
                distributions={path: kind for (path, kind), at in zip(named, point, strict=True) if at != ABSENT},
                value=score,
                state=states.PRUNED if score is None else states.COMPLETE,
            )
            for point, score in seen
        ]
    )
    while True:
        trial = study.ask()
        found: list[int] = []
        for i, item in enumerate(space.parameters):
            if not space.exists(i, found):
                found.append(ABSENT)
            elif item.ordered:
                found.append(trial.suggest_int(item.path, 0, len(item.values) - 1))
            else:
                found.append(int(trial.suggest_categorical(item.path, list(range(len(item.values))))))
        yield tuple(found)
