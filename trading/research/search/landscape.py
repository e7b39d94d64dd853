"""What the trials of a search say of its parameters: how much of the scores' spread each explains, and two at a time.

Importance here is the share of the variance of feasible scores that lies between the values of one parameter, the
others as they were tried: the adjusted correlation ratio epsilon squared (Kelley 1935; Okada 2013, Behaviormetrika 40),
which does not grow by the mere number of values.  It sees no interplay of parameters, and where a method tried good
regions more often, it speaks of those.  It says nothing of an edge.  Pure; called by the page of a study.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NOWHERE = -1  # in the place of a value: the parameter did not exist for this trial


class Weight(NamedTuple):
    """`share` in 0 .. 1, None with the reason; `values` that were tried, `trials` that are feasible."""

    share: float | None
    values: int
    trials: int
    why: str


class Cell(NamedTuple):
    """All trials with one value of each of two parameters.  `best`: None where none of them is feasible."""

    best: float | None
    feasible: int
    trials: int


def weight(codes: np.ndarray, scores: np.ndarray) -> Weight:
    """`codes`: (n,) int, the place of each trial's value among the parameter's, or NOWHERE; `scores`: (n,) float64,
    NaN for infeasible ones."""
    kept = ~np.isnan(scores) & (codes != NOWHERE)
    codes, scores = codes[kept], scores[kept]
    places, group = np.unique(codes, return_inverse=True)
    n, values = len(scores), len(places)
    if values < 2:
        return Weight(None, values, n, "fewer than two of its values gave a feasible trial")
    if n <= values:
        return Weight(None, values, n, "no more feasible trials than values")
    total = float(((scores - scores.mean()) ** 2).sum())
    if total == 0.0:
        return Weight(None, values, n, "all scores are the same")
    count = np.bincount(group)
    mean = np.bincount(group, scores) / count
    between = float((count * (mean - scores.mean()) ** 2).sum())
    within = max(0.0, total - between) / (n - values)
    return Weight(max(0.0, (between - (values - 1) * within) / total), values, n, "")


def plane(x: np.ndarray, y: np.ndarray, scores: np.ndarray, shape: tuple[int, int]) -> list[list[Cell]]:
    """Rows of y, columns of x: `shape` is (values of y, values of x); codes and scores as in `weight`."""
    rows = []
    for row in range(shape[0]):
        cells = []
        for column in range(shape[1]):
            here = scores[(x == column) & (y == row)]
            feasible = here[~np.isnan(here)]
            cells.append(Cell(float(feasible.max()) if len(feasible) else None, len(feasible), len(here)))
        rows.append(cells)
    return rows


def codes_of(told: Sequence[str | None], values: Sequence[str]) -> np.ndarray:
    """Where each trial's value stands among the parameter's; NOWHERE for what is none of them."""
    places = {value: k for k, value in enumerate(values)}
    return np.array([places.get(text, NOWHERE) if text is not None else NOWHERE for text in told], np.int64)
