"""How deep the account fell and how long it took to come back: drawdown over every equity point (MES-METRIC-04, -05).

Walked in pieces, so that two years of seconds need little memory beside themselves.  Peaks and falls are integers;
only the shares are floats, each one correctly rounded division.  Called by `metrics`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, figure
from trading.research.records import Curve, Days, ResearchError, session_of

PIECE = 1_000_000
SECOND_NS = 1_000_000_000
NONE_FALLEN = "The account never fell below an earlier peak"


class Drawdown(NamedTuple):
    """The deepest falls from a peak that starts at the starting capital.

    `share`: deepest fall as a fraction of its peak; `micros`: deepest fall in money, which may be another one.  Each
    with the times of its peak (the last point at it) and trough.  `duration_s`, `duration_sessions` (session closes
    passed): from the peak of the deepest share to recovery, or to the period's end when `recovered` is false.
    `average`: mean fraction below the running peak over all points.  Undefined, all of them, when nothing ever fell.
    """

    share: Figure
    share_peak_ns: int
    share_trough_ns: int
    micros: int
    micros_peak_ns: int
    micros_trough_ns: int
    average: Figure
    duration_s: Figure
    duration_sessions: int
    recovered: bool


class _Deepest(NamedTuple):
    """Index of the first deepest point by share and by money (-1: nothing fell), and the sum of all shares."""

    share: float
    share_at: int
    micros: int
    micros_at: int
    shares_total: float


def drawdown(days: Days, curve: Curve) -> Drawdown:
    """The account's drawdown over the points of `curve` (at least one, all inside the period of `days`).

    Raises ResearchError for a curve without points or outside the period, or one that ends at another equity.
    """
    if len(curve) == 0:
        raise ResearchError("there are no equity points: a drawdown of session closes alone would hide the day's falls")
    if int(curve.equity_micros[-1]) != days.end_micros:
        raise ResearchError("the last equity point and the last session's equity differ")
    session_of(days, curve.ts_ns[[0, -1]])
    deepest = _deepest(days.start_micros, curve.equity_micros)
    if deepest.micros_at < 0:
        none = Figure(None, NONE_FALLEN)
        start = days.start_ns
        return Drawdown(none, start, start, 0, start, start, none, none, 0, True)
    peak_ns, back_ns = _peak_ns(days, curve, deepest.share_at), _recovery_ns(days, curve, deepest.share_at)
    until_ns = int(curve.ts_ns[-1]) if back_ns is None else back_ns
    passed = session_of(days, np.array([peak_ns, until_ns], np.int64))
    return Drawdown(
        share=figure(deepest.share),
        share_peak_ns=peak_ns,
        share_trough_ns=int(curve.ts_ns[deepest.share_at]),
        micros=deepest.micros,
        micros_peak_ns=_peak_ns(days, curve, deepest.micros_at),
        micros_trough_ns=int(curve.ts_ns[deepest.micros_at]),
        average=figure(deepest.shares_total / len(curve)),
        duration_s=figure((until_ns - peak_ns) / SECOND_NS),
        duration_sessions=int(passed[1] - passed[0]),
        recovered=back_ns is not None,
    )


def running_peaks(start_micros: int, equity: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(index of the first point, points, highest equity up to each of them) piece by piece."""
    peak = start_micros
    for first in range(0, len(equity), PIECE):
        part = equity[first : first + PIECE]
        peaks = np.maximum(np.maximum.accumulate(part), peak)
        peak = int(peaks[-1])
        yield first, part, peaks


def _deepest(start_micros: int, equity: np.ndarray) -> _Deepest:
    best = _Deepest(0.0, -1, 0, -1, 0.0)
    for first, part, peaks in running_peaks(start_micros, equity):
        fallen = peaks - part
        shares = fallen / peaks
        by_share, by_micros = int(shares.argmax()), int(fallen.argmax())
        best = best._replace(shares_total=best.shares_total + float(shares.sum()))
        if float(shares[by_share]) > best.share:
            best = best._replace(share=float(shares[by_share]), share_at=first + by_share)
        if int(fallen[by_micros]) > best.micros:
            best = best._replace(micros=int(fallen[by_micros]), micros_at=first + by_micros)
    return best


def _peak(days: Days, curve: Curve, at: int) -> int:
    return max(days.start_micros, int(curve.equity_micros[: at + 1].max()))


def _peak_ns(days: Days, curve: Curve, at: int) -> int:
    """Time of the last point at the peak before point `at`: there the fall begins; the start if it is the peak."""
    here = np.flatnonzero(curve.equity_micros[: at + 1] == _peak(days, curve, at))
    return int(curve.ts_ns[here[-1]]) if len(here) else days.start_ns


def _recovery_ns(days: Days, curve: Curve, at: int) -> int | None:
    """Time of the first point after `at` that is back at its peak; None when there is none."""
    back = curve.equity_micros[at:] >= _peak(days, curve, at)
    first = int(back.argmax())
    return int(curve.ts_ns[at + first]) if back[first] else None
