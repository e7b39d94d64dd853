"""The leakage check (N10): a pipeline is run again and again on bars whose future was replaced, and answers compared.

A row that is known by a moment T must be the same whatever comes after T (MES-FEAT-03); what a part of the rows was
fitted on must end with that part; labels must be known when they say so; parts must follow each other.  Values count as
changed beyond `tolerance` of their column's range, and where one is NaN alone.  Called by `manage.py leakage`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from marketdata.core.barfeatures.records import Bars
from trading.learning.leakage.futures import cut_off, down, up
from trading.learning.leakage.pipeline import PARTS, Matrix, Pipeline, Prepared, ends_ns, matrix_of, prepared_of
from trading.learning.leakage.report import Finding, Report, at

MOMENTS = 1_000
LATER_MOMENTS = 40  # of the prepared rows and labels, which come after their features were checked
TOLERANCE = 1e-9  # of a column's range: what rounding may do where a pipeline's sums depend on its length
FINDINGS_MAX = 20
CONTROLS = 10  # runs that show that the answer follows the bars at all
CUT_OFF_FROM = 4  # a future that is gone needs a past: the last three quarters of the data

Future = Callable[[Bars, int, np.random.Generator], Bars]
Made = TypeVar("Made", Matrix, Prepared)
Progress = Callable[[int, int, str], None]


class _Place(NamedTuple):
    """Where two answers differ: the newest row of a column."""

    row: int
    column: int


def _differences(base: np.ndarray, other: np.ndarray, slack: np.ndarray) -> list[_Place]:
    """Columns in which two (n, k) float64 differ, each with the newest row that does.  `slack`: (k,)."""
    if np.array_equal(base.view(np.int64), other.view(np.int64)):
        return []
    with np.errstate(invalid="ignore"):
        same = (base == other) | (np.isnan(base) & np.isnan(other)) | (np.abs(base - other) <= slack)
    changed = ~same
    newest = len(changed) - 1 - np.argmax(changed[::-1], axis=0)
    return [_Place(int(newest[column]), column) for column in np.flatnonzero(changed.any(axis=0)).tolist()]


def _slack(values: np.ndarray, tolerance: float) -> np.ndarray:
    """(k,): how far a value of each column may move."""
    finite = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(finite).all(axis=0)
        spread = np.zeros(values.shape[1])
        spread[known] = np.nanmax(finite[:, known], axis=0) - np.nanmin(finite[:, known], axis=0)
    return tolerance * spread


def _unmoved(values: np.ndarray) -> np.ndarray:
    """(k,) bool: columns without two different finite values."""
    return _slack(values, 1.0) == 0.0


def cuts_of(count: int, moments: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of the first replaced bar: every one where there are few enough, else one at random in each stretch."""
    if count - 1 <= moments:
        return np.arange(1, count)
    edges = np.linspace(1, count, moments + 1)
    return np.unique((edges[:-1] + rng.random(moments) * np.diff(edges)).astype(np.int64))


class _Inspection:
    """One pipeline on one tape."""

    def __init__(self, pipeline: Pipeline, bars: Bars, seed: int, tolerance: float, progress: Progress) -> None:
        self.pipeline, self.bars, self.tolerance, self.progress = pipeline, bars, tolerance, progress
        self.rng = np.random.default_rng(seed)
        self.ends = ends_ns(bars)
        self.count = len(bars.second)
        self.runs = self.controls = 0
        self.moves = pipeline.times_only  # whether what comes after a moment follows the bars after it
        self.findings: dict[tuple[str, str], Finding] = {}

    def note(self, check: str, column: str, moment_ns: int, words: str) -> None:
        """The first finding of a check in a column counts."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.setdefault((check, column), Finding(check, column, int(moment_ns), words))

    def full(self) -> bool:
        """Enough was found."""
        return len(self.findings) >= FINDINGS_MAX

    def run(self, make: Callable[[Pipeline, Bars], Made], bars: Bars, moment_ns: int) -> Made | None:
        """The pipeline's answer; None, and a finding, where it fails: what cannot be checked does not pass."""
        self.runs += 1
        try:
            return make(self.pipeline, bars)
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything; it is told, not hidden
            what = "given bars" if bars is self.bars else f"bars with another future after {at(moment_ns)}"
            self.note("failed", "", moment_ns, f"on the {what} it ended with {type(error).__name__}: {error}")
            return None

    def twice(self, make: Callable[[Pipeline, Bars], Made]) -> Made | None:
        """The answer for the given bars, if it is the same a second time."""
        first, again = self.run(make, self.bars, self.ends[-1]), self.run(make, self.bars, self.ends[-1])
        if first is None or again is None:
            return None
        if _bytes(first) != _bytes(again):
            self.note("repeat", "", int(self.ends[-1]), "two runs on the same bars gave two answers")
            return None
        return first

    # features

    def features(self, moments: int) -> Matrix | None:
        """N10 (a), (b), (e): the prefix test at many moments."""
        base = self.twice(matrix_of)
        if base is None or not self._in_order(base.known_ns):
            return base
        if not np.isfinite(base.values).any():
            self.note("failed", "", int(self.ends[-1]), "no feature has a value on this data: nothing can be checked")
            return base
        slack = _slack(base.values, self.tolerance)
        cuts = cuts_of(self.count, moments, self.rng)
        for done, cut in enumerate(cuts.tolist()):
            for future in (up, down, cut_off)[: 3 if cut >= self.count // CUT_OFF_FROM else 2]:
                self._feature_moment(base, slack, cut, future)
            if self.full():
                break
            self.progress(done + 1, len(cuts), f"{done + 1:,} of {len(cuts):,} moments")
        if not self.moves and self.controls > 0:
            words = "no feature moves with prices and volumes that were replaced: an answer that was kept shows nothing"
            self.note("failed", "", int(self.ends[-1]), words)
        return base

    def _in_order(self, known_ns: np.ndarray) -> bool:
        falls = np.flatnonzero(np.diff(known_ns) < 0)
        if falls.size:
            moment = int(known_ns[falls[0] + 1])
            self.note("times", "", moment, f"the row known at {at(moment)} stands behind one that is known later")
        return falls.size == 0

    def _feature_moment(self, base: Matrix, slack: np.ndarray, cut: int, future: Future) -> None:
        moment = int(self.ends[cut - 1])
        other = self.run(matrix_of, future(self.bars, cut, self.rng), moment)
        if other is None:
            return
        rows = int(np.searchsorted(base.known_ns, moment, side="right"))
        if other.names != base.names or not np.array_equal(other.known_ns[:rows], base.known_ns[:rows]):
            self.note("rows", "", moment, f"the rows or columns known by {at(moment)} depend on later bars")
            return
        if not self.moves and future is not cut_off and self.controls < CONTROLS:
            self.controls += 1
            rest, its = base.values[rows:], other.values[rows:]
            self.moves = rest.shape != its.shape or bool(_differences(rest, its, slack))
        for place in _differences(base.values[:rows], other.values[:rows], slack):
            name = base.names[place.column]
            if ("future", name) not in self.findings and not self.full():
                words = self._reach(base, slack, cut, future, place)
                self.note("future", name, int(base.known_ns[place.row]), words)

    def _reach(self, base: Matrix, slack: np.ndarray, cut: int, future: Future, place: _Place) -> str:
        """How many later bars must be kept until the value is what it was: a search by halves."""
        row, column = place
        low, high = 0, self.count - cut
        while high - low > 1:
            middle = (low + high) // 2
            other = self.run(matrix_of, future(self.bars, cut + middle, self.rng), int(self.ends[cut - 1]))
            here = np.ix_([row], [column])
            right = other is not None and len(other.values) > row and other.values.shape[1] > column
            if right and other is not None and not _differences(base.values[here], other.values[here], slack[[column]]):
                high = middle
            else:
                low = middle
        known = int(base.known_ns[row])
        ahead = "the end of the data" if cut + high == self.count else at(int(self.ends[cut + high - 1]))
        later = int((self.ends[: cut + high] > known).sum())
        return (
            f"column {column} ({base.names[column]}) of the row known at {at(known)} changes when only later bars are"
            f" replaced; it uses bars up to {ahead}, {later} more than are known then"
        )

    # what a learner sees

    def prepared(self) -> None:
        """N10 (c), (d): split, purge, fit, labels."""
        base = self.twice(prepared_of)
        if base is None or not self._in_order(base.known_ns) or not self._structure(base):
            return
        slack = _slack(base.x, self.tolerance)
        for seen in (PARTS[:1], PARTS[:2]):
            self._fit(base, slack, seen)
        train_ends = self._end_of(base, PARTS[:1])
        first = int(np.searchsorted(self.ends, train_ends, side="right"))
        for cut in (first + cuts_of(self.count - first, LATER_MOMENTS, self.rng)).tolist():
            self._later(base, slack, cut, rows_too=True)
        for cut in cuts_of(first, LATER_MOMENTS, self.rng).tolist():
            self._later(base, slack, cut, rows_too=False)

    def _structure(self, base: Prepared) -> bool:
        """The parts follow each other, and no label reaches into the next."""
        found = len(self.findings)
        early = np.flatnonzero(base.label_ns < base.known_ns)
        if early.size:
            moment = int(base.known_ns[early[0]])
            self.note("label", "", moment, f"the label of the row known at {at(moment)} is said to be known before it")
        for name in PARTS:
            if not len(base.part(name)):
                self.note("split", "", int(self.ends[-1]), f"the {name} part is empty: there is nothing to check")
        if len(self.findings) > found:
            return False
        for earlier, later in pairwise(PARTS):
            newest, oldest = int(base.known_ns[base.part(earlier)].max()), int(base.known_ns[base.part(later)].min())
            reach = int(base.label_ns[base.part(earlier)].max())
            if newest >= oldest:
                words = f"a {earlier} row known at {at(newest)} stands at or after a {later} row known at {at(oldest)}"
                self.note("split", "", oldest, words)
            elif reach >= oldest:
                words = f"a label of the {earlier} part is known at {at(reach)}, the {later} part begins {at(oldest)}"
                self.note("purge", "", oldest, words)
        return len(self.findings) == found

    def _end_of(self, base: Prepared, parts: tuple[str, ...]) -> int:
        rows = np.concatenate([base.part(name) for name in parts])
        return int(max(base.known_ns[rows].max(), base.label_ns[rows].max()))

    def _fit(self, base: Prepared, slack: np.ndarray, seen: tuple[str, ...]) -> None:
        """All bars after these parts are replaced: the parts and what was fitted on the first stay."""
        end = self._end_of(base, seen)
        cut = int(np.searchsorted(self.ends, end, side="right"))
        if cut >= self.count:
            return
        words = f"made from bars after {at(end)}, the end of the {seen[-1]} part"
        for future in (up, down):
            other = self.run(prepared_of, future(self.bars, cut, self.rng), end)
            if other is None:
                return
            if other.names != base.names or sorted(other.fitted) != sorted(base.fitted):
                self.note("fit", "", end, f"which columns or numbers there are was {words}")
                return
            if base.y.tobytes() == other.y.tobytes():
                self.note(
                    "failed", "", end, "no label moves with the prices that were replaced: a kept answer shows nothing"
                )
                return
            for name in seen:
                mine, theirs = base.part(name), other.part(name)
                if not np.array_equal(base.known_ns[mine], other.known_ns[theirs]):
                    self.note("fit", "", end, f"which rows are {name} rows was {words}")
                    return
                for place in _differences(base.x[mine], other.x[theirs], slack):
                    column = base.names[place.column]
                    self.note("fit", column, end, f"column {place.column} ({column}) of the {name} rows was {words}")
                if not np.array_equal(base.y[mine], other.y[theirs], equal_nan=True):
                    self.note("label", "", end, f"labels of the {name} rows were {words}")
            self._fitted(base, other, end, words)

    def _fitted(self, base: Prepared, other: Prepared, end: int, words: str) -> None:
        for name, value in base.fitted.items():
            if not np.array_equal(np.asarray(value), np.asarray(other.fitted[name]), equal_nan=True):
                self.note("fit", name, end, f"the fitted numbers {name!r} were {words}")

    def _later(self, base: Prepared, slack: np.ndarray, cut: int, *, rows_too: bool) -> None:
        """Bars from `cut` on are replaced: labels known by then stay; rows too, where the train part lies before."""
        moment = int(self.ends[cut - 1])
        for future in (up, down):
            other = self.run(prepared_of, future(self.bars, cut, self.rng), moment)
            if other is None:
                return
            rows = int(np.searchsorted(base.known_ns, moment, side="right"))
            same = other.names == base.names or not rows_too
            if not same or not np.array_equal(base.known_ns[:rows], other.known_ns[:rows]):
                self.note("rows", "", moment, f"prepared rows or columns known by {at(moment)} depend on later bars")
                return
            known = base.label_ns[:rows] <= moment
            mine, theirs = base.y[:rows], other.y[:rows]
            changed = np.flatnonzero(known & (mine != theirs) & ~(np.isnan(mine) & np.isnan(theirs)))
            if changed.size:
                claimed = at(int(base.label_ns[changed[-1]]))
                row = at(int(base.known_ns[changed[-1]]))
                words = f"the label of the row known at {row}, said to be known at {claimed}, depends on later bars"
                self.note("label", "", moment, words)
            if rows_too:
                for place in _differences(base.x[:rows], other.x[:rows], slack):
                    name, row = base.names[place.column], at(int(base.known_ns[place.row]))
                    words = f"column {place.column} ({name}) of the row known at {row} needs bars after {at(moment)}"
                    self.note("prepare", name, int(base.known_ns[place.row]), words)


def _bytes(made: Matrix | Prepared) -> list[bytes]:
    """Every number of an answer."""
    found: list[Any] = []
    for value in made:
        found += [value[name] for name in sorted(value)] if isinstance(value, dict) else [value]
    return [np.asarray(value).tobytes() for value in found]


def inspect(
    pipeline: Pipeline,
    bars: Bars,
    *,
    moments: int = MOMENTS,
    seed: int = 1,
    tolerance: float = TOLERANCE,
    progress: Progress = lambda done, total, words: None,
) -> Report:
    """Check a pipeline on these bars, at `moments` moments or, where there are fewer bars, at every one.

    A leak that a single row of the data has is found for sure only where every moment is tried.  Raises nothing of the
    pipeline's: what it cannot answer is a finding.
    """
    inspection = _Inspection(pipeline, bars, seed, tolerance, progress)
    if inspection.count < 2:
        finding = Finding("failed", "", 0, f"{inspection.count} bars are too few to check anything")
        return Report(pipeline.name, inspection.count, 0, 0, 0, [finding], [])
    base = inspection.features(moments)
    if pipeline.prepare is not None:
        inspection.prepared()
    tried = min(moments, inspection.count - 1)
    unmoved = [] if base is None else [base.names[k] for k in np.flatnonzero(_unmoved(base.values)).tolist()]
    rows = 0 if base is None else len(base.known_ns)
    return Report(
        pipeline.name, inspection.count, rows, tried, inspection.runs, list(inspection.findings.values()), unmoved
    )
