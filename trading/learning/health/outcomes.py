"""What became of scores: the label of each by the clock, whether it was right, and how that compares with training.

A score is followed until its horizon ends; the next one that is followed begins after that, so no two share a stretch
of the market and their number is an honest sample size.  One is followed whatever it says (for calibration), one only
where it names a side (for the hit rate).  Labels are those of training (MES-LABEL-01, -02): the last mid not later than
the end of the horizon, strictly beyond cost; none across a silence.  The same steps make the reference of an artifact
and the figures of a session (T-06).
"""

from collections import deque
from typing import NamedTuple

import msgspec
import numpy as np

from marketdata.core.records import NO_TIME
from trading.learning.calibration import calibration_error
from trading.learning.health.drift import CRITICAL, NONE, WARNING

DOWN, FLAT, UP = 0, 1, 2
KEPT = 500  # latest outcomes that the figures are made of
CALIBRATION_MIN, HITS_MIN = 50, 30  # outcomes of either side, below which nothing is judged
BAND, FAR = 0.05, 0.10  # how much worse than training is outside of the band, and how much is far outside
Z_BAND, Z_FAR = 2.58, 4.0  # deviations of the difference that it must be as well: chance alone shows them seldom
ERROR_MAX, ERROR_ROWS_MIN = 0.10, 500  # calibration error that is too much whatever training had (MODEL_BLOCKED of MES)


class Outcome(NamedTuple):
    """One score whose label is known: classes 0 down, 1 flat, 2 up, and the probability of the one it said."""

    predicted: int
    confidence: float
    label: int


class Judged(NamedTuple):
    """A figure beside that of training.  `low`, `high`: its band; None where too few are known.

    Severity 0 then, but 1 where only training had too few: that one will never be judged.
    """

    value: float | None
    rows: int
    reference: float | None
    reference_rows: int
    low: float | None
    high: float | None
    severity: int

    @property
    def lacks_reference(self) -> bool:
        """Whether enough is known of now and too little of training."""
        return self.low is None and self.severity != NONE


class Figures(msgspec.Struct, frozen=True):
    """Right answers among outcomes: `rows`, how many were right, mean confidence, expected calibration error."""

    rows: int
    right: int
    confidence: float
    error: float


class Wanted(NamedTuple):
    """How a score is labelled; the times in ns, the cost in half ticks."""

    horizon_ns: int
    cost2: int
    silence_ns: int  # between two prices: nothing is known across it


class _Followed(NamedTuple):
    due_ns: int
    mid2: int
    predicted: int
    confidence: float


class Line:
    """The scores of one instrument on their way to outcomes, in the order of its moments."""

    def __init__(self, wanted: Wanted, any_class: "deque[Outcome]", sided: "deque[Outcome]") -> None:
        self._wanted, self._kept = wanted, (any_class, sided)
        self._followed: list[_Followed | None] = [None, None]
        self._last_ns, self._last_mid2 = NO_TIME, 0

    def price(self, ts_ns: int, mid2: int) -> None:
        """A mid in half ticks; what it ends is labelled by the mid before it, or by itself at the very moment."""
        if self._last_ns != NO_TIME and ts_ns - self._last_ns >= self._wanted.silence_ns:
            self._followed = [None, None]  # what came between is unknown
        for at, one in enumerate(self._followed):
            if one is not None and one.due_ns <= ts_ns:
                move = (mid2 if one.due_ns == ts_ns else self._last_mid2) - one.mid2
                label = UP if move > self._wanted.cost2 else (DOWN if move < -self._wanted.cost2 else FLAT)
                self._kept[at].append(Outcome(one.predicted, one.confidence, label))
                self._followed[at] = None
        self._last_ns, self._last_mid2 = ts_ns, mid2

    def score(self, shares: np.ndarray) -> None:
        """Probabilities (down, flat, up) of the moment whose price was given last; a tie says flat."""
        top = float(shares.max())
        predicted = int(shares.argmax()) if int((shares == top).sum()) == 1 else FLAT
        for at, one in enumerate(self._followed):
            if one is None and (at == 0 or predicted != FLAT):
                due_ns = self._last_ns + self._wanted.horizon_ns
                self._followed[at] = _Followed(due_ns, self._last_mid2, predicted, top)


def followed(ts_ns: np.ndarray, label_ns: np.ndarray, shares: np.ndarray, labels: np.ndarray) -> list[list[Outcome]]:
    """Of rows in time order whose labels are known: those that a Line would have followed, (whatever, sided)."""
    found: list[list[Outcome]] = [[], []]
    free_ns = [NO_TIME, NO_TIME]
    top = shares.max(axis=1)
    predicted = np.where((shares == top[:, None]).sum(axis=1) == 1, shares.argmax(axis=1), FLAT)
    columns = (ts_ns, label_ns, predicted, top, labels)
    for at_ns, due_ns, said, sure, label in zip(*(column.tolist() for column in columns), strict=True):
        for at in (0, 1):
            if at_ns >= free_ns[at] and (at == 0 or said != FLAT):
                found[at].append(Outcome(said, sure, label))
                free_ns[at] = due_ns
    return found


def figures_of(outcomes: "list[Outcome] | deque[Outcome]") -> Figures:
    """The figures of some outcomes; of none, zeros."""
    if len(outcomes) == 0:
        return Figures(0, 0, 0.0, 0.0)
    said, sure, label = (np.array(column) for column in zip(*outcomes, strict=True))
    shares = np.zeros((len(said), 3))
    shares[np.arange(len(said)), said] = sure
    return Figures(len(said), int((said == label).sum()), float(sure.mean()), calibration_error(shares, label))


def _variance(figures: Figures) -> float:
    """Of a share of right answers, by the rule of succession: never zero."""
    share = (figures.right + 1) / (figures.rows + 2)
    return share * (1 - share) / figures.rows


def judge_hits(now: Figures, then: Figures) -> Judged:
    """Share of sides that were right; below the band is outside, above it is nobody's fault."""
    value, reference = (f.right / f.rows if f.rows else None for f in (now, then))
    if value is None or reference is None or min(now.rows, then.rows) < HITS_MIN:
        severity = WARNING if now.rows >= HITS_MIN else NONE
        return Judged(value, now.rows, reference, then.rows, None, None, severity)
    deviation = float(np.sqrt(_variance(now) + _variance(then)))
    low, far = reference - max(BAND, Z_BAND * deviation), reference - max(FAR, Z_FAR * deviation)
    severity = CRITICAL if value < far else (WARNING if value < low else NONE)
    return Judged(value, now.rows, reference, then.rows, low, 1.0, severity)


def judge_calibration(now: Figures, then: Figures) -> Judged:
    """Mean confidence less the share that was right, beside training's; far too sure is critical, as is too large an
    error over ERROR_ROWS_MIN outcomes.  Too modest is a warning at most: it costs trades, no money."""
    value, reference = (f.confidence - f.right / f.rows if f.rows else None for f in (now, then))
    is_wrong = now.rows >= ERROR_ROWS_MIN and now.error > ERROR_MAX  # asks nothing of training
    if value is None or reference is None or min(now.rows, then.rows) < CALIBRATION_MIN:
        severity = CRITICAL if is_wrong else (WARNING if now.rows >= CALIBRATION_MIN else NONE)
        return Judged(value, now.rows, reference, then.rows, None, None, severity)
    deviation = float(np.sqrt(_variance(now) + _variance(then)))
    band, far = max(BAND, Z_BAND * deviation), max(FAR, Z_FAR * deviation)
    severity = NONE if abs(value - reference) <= band else WARNING
    too_sure = value - reference > far
    if too_sure or is_wrong:
        severity = CRITICAL
    return Judged(value, now.rows, reference, then.rows, reference - band, reference + band, severity)
