"""Whether the best parameters stand on a plateau or on a needle: every neighbour one step away keeps most of the score.

MES-OPT-06 and N11; the idea is that of robust parameter regions in Pardo, The Evaluation and Optimization of Trading
Strategies (2008), ch. 10.  Points of a search are tuples of indices into each parameter's list of values.  Nothing is
evaluated here: a neighbour that nobody ran is named, so that the search can run it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trading.research.figures import Figure, figure

KEPT_MIN = 0.70
ABSENT = -1  # index of a parameter that does not exist at this point (MES-OPT-01: tied to a choice)

Point = tuple[int, ...]


class Axis(NamedTuple):
    """One parameter: its name, how many values its grid has, and whether they have an order (a choice has none)."""

    name: str
    size: int
    ordered: bool = True


class Neighbour(NamedTuple):
    """A point one step from the best: the parameter moved, the step (-1 or +1), its score, the share of the best's it
    keeps; both None where it was infeasible or never evaluated."""

    axis: str
    step: int
    point: Point
    score: float | None
    kept: float | None
    evaluated: bool


class Plateau(NamedTuple):
    """`kept`: the smallest share of the best score that a neighbour keeps; undefined with its reason where one of them
    is unknown or the best score is not positive.  `applicable` is false when no parameter could be moved at all."""

    kept: Figure
    best: float | None
    neighbours: tuple[Neighbour, ...]
    missing: tuple[Point, ...]
    applicable: bool


def plateau(axes: Sequence[Axis], best: Point, scores: Mapping[Point, float | None]) -> Plateau:
    """The neighbourhood of `best` among evaluated `scores` (higher is better; None = infeasible).

    A neighbour outside the grid does not exist; one that is infeasible keeps nothing.
    """
    assert len(best) == len(axes) and best in scores
    score = scores[best]
    found = tuple(_neighbour(axes, best, scores, i, step) for i, step in _steps(axes, best))
    missing = tuple(neighbour.point for neighbour in found if not neighbour.evaluated)
    return Plateau(_kept(score, found, missing), score, found, missing, bool(found))


def _steps(axes: Sequence[Axis], best: Point) -> list[tuple[int, int]]:
    """(parameter, step) of every neighbour inside the grid."""
    return [
        (i, step)
        for i, axis in enumerate(axes)
        if axis.ordered and best[i] != ABSENT
        for step in (-1, 1)
        if 0 <= best[i] + step < axis.size
    ]


def _neighbour(axes: Sequence[Axis], best: Point, scores: Mapping[Point, float | None], i: int, step: int) -> Neighbour:
    point = (*best[:i], best[i] + step, *best[i + 1 :])
    top, score = scores[best], scores.get(point)
    kept = None if score is None or top is None or top <= 0 else score / top
    return Neighbour(axes[i].name, step, point, score, kept, point in scores)


def _kept(score: float | None, found: tuple[Neighbour, ...], missing: tuple[Point, ...]) -> Figure:
    if score is None or score <= 0:
        return Figure(None, "The best score is not above zero")
    if not found:
        return Figure(None, "No parameter was searched in steps")
    if missing:
        return Figure(None, f"{len(missing)} of {len(found)} neighbours of the best were never evaluated")
    return figure(min(0.0 if neighbour.kept is None else neighbour.kept for neighbour in found))
