"""What the leakage check (N10) asks of a pipeline: functions from bars to what a learner sees, and nothing else.

Anything that turns bars into features can be checked: wrap it as a Pipeline.  The check calls the functions many times
with changed bars and compares answers; it reads no source and trusts no name.  What a function takes from elsewhere
than its argument (a file, a table made before) cannot be changed by the check, so it must come in through the bars.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from marketdata.core.barfeatures.records import Bars
from marketdata.core.barfeatures.schema import BAR_SECONDS
from marketdata.core.units import NANOS

PARTS = ("train", "validation", "test")


class Matrix(NamedTuple):
    """Features in order of time, before anything is fitted."""

    known_ns: np.ndarray  # (n,) int64, ns UTC: when each row is said to be known; it never falls
    values: np.ndarray  # (n, k) float64
    names: tuple[str, ...]  # k


class Prepared(NamedTuple):
    """What a learner sees: fitted, split, labelled rows in order of time."""

    known_ns: np.ndarray  # (n,) int64
    x: np.ndarray  # (n, k) float64, after scaling, selection, encoding
    y: np.ndarray  # (n,) labels
    label_ns: np.ndarray  # (n,) int64: when each label is said to be known
    names: tuple[str, ...]  # k
    train: np.ndarray  # row indices of the three parts
    validation: np.ndarray
    test: np.ndarray
    fitted: dict[str, np.ndarray]  # numbers that were fitted on the train rows: scaler, class weights, ...

    def part(self, name: str) -> np.ndarray:
        """Row indices of the part of this name."""
        rows: np.ndarray = getattr(self, name)
        return rows


class Pipeline(NamedTuple):
    """`features`: bars → Matrix, or an array (bars, k) whose rows are known at the ends of their bars.

    `prepare`: bars → Prepared; None where there are features alone.  `times_only`: no feature reads a price or
    volume; without it an answer that none of them moves does not pass.
    """

    name: str
    features: Callable[[Bars], Matrix | np.ndarray]
    prepare: Callable[[Bars], Prepared] | None = None
    times_only: bool = False


def ends_ns(bars: Bars) -> np.ndarray:
    """(n,) int64: when each bar is complete, the first moment at which it is known."""
    return (bars.second + BAR_SECONDS) * NANOS


def copy_of(bars: Bars) -> Bars:
    """The same bars; what a pipeline does to them stays with it."""
    return Bars(*(column.copy() for column in bars))


def matrix_of(pipeline: Pipeline, bars: Bars) -> Matrix:
    """The features of these bars.  Raises ValueError for what is no matrix, and what the pipeline raises."""
    made = pipeline.features(copy_of(bars))
    if not isinstance(made, Matrix):
        values = np.asarray(made, np.float64)
        if values.ndim != 2 or len(values) != len(bars.second):
            raise ValueError(f"the features have the shape {values.shape}, not one row for each bar")
        made = Matrix(ends_ns(bars), values, tuple(f"column {k}" for k in range(values.shape[1])))
    values = np.ascontiguousarray(made.values, np.float64)
    if values.shape != (len(made.known_ns), len(made.names)):
        raise ValueError(f"{len(made.known_ns)} times and {len(made.names)} names for a matrix of {values.shape}")
    return made._replace(values=values, known_ns=np.asarray(made.known_ns, np.int64))


def prepared_of(pipeline: Pipeline, bars: Bars) -> Prepared:
    """What a learner sees of these bars.  Raises ValueError where shapes do not fit, and what the pipeline raises."""
    assert pipeline.prepare is not None
    made = pipeline.prepare(copy_of(bars))
    x = np.ascontiguousarray(made.x, np.float64)
    n = len(made.known_ns)
    if x.shape != (n, len(made.names)) or len(made.y) != n or len(made.label_ns) != n:
        raise ValueError(f"{n} times, {len(made.names)} names, {len(made.y)} labels for a matrix of {x.shape}")
    return made._replace(x=x, y=np.asarray(made.y, np.float64))
