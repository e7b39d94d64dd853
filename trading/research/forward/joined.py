"""The tests of all folds as one record: trades, session days, the points where equity turned, and what it says.

Of a test's curve four points a session are kept, by which the deepest fall of any joined curve is exact, in money and
in parts of its peak: a fall from an earlier session begins at that session's highest point and ends at a lowest one, a
fall inside a session is its own deepest.  Pure.  Called by `trading.run.forward`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, figure
from trading.research.fold_results import concatenated
from trading.research.records import Curve, Days, ResearchError, Trades


class Outside(NamedTuple):
    """One fold's test.  `turns` (2, P) int64: times and equity of the kept points."""

    trades: Trades
    days: Days
    turns: np.ndarray


def turns_of(ts_ns: np.ndarray, equity_micros: np.ndarray, close_ns: np.ndarray) -> np.ndarray:
    """(2, P) int64: of each session's points (times ascending, a close belongs to the session it ends) the highest, the
    lowest, both ends of its deepest fall, and the last."""
    kept: list[int] = []
    edges = np.searchsorted(ts_ns, close_ns, side="right").tolist()
    for begin, end in zip([0, *edges[:-1]], edges, strict=True):
        if begin == end:
            continue
        part = equity_micros[begin:end]
        fall = np.maximum.accumulate(part) - part
        trough = int(fall.argmax())
        peak = int(part[: trough + 1].argmax())
        kept += sorted({begin + k for k in (peak, trough, int(part.argmax()), int(part.argmin()), len(part) - 1)})
    return np.stack([ts_ns[kept], equity_micros[kept]]).astype(np.int64)


def joined(start_micros: int, tests: Sequence[Outside]) -> tuple[Trades, Days, Curve]:
    """One record of all tests: each began with the starting capital, their results add up (MES-WF-02).

    Raises ResearchError for no test, or tests that overlap."""
    days = concatenated(start_micros, [test.days for test in tests])
    points, before = [], 0
    for test in tests:
        points.append(np.stack([test.turns[0], test.turns[1] + before]))
        before += test.days.end_micros - test.days.start_micros
    turns = np.concatenate(points, axis=1)
    if turns.shape[1] == 0:
        raise ResearchError("the tests left no point of their curves")
    return _trades([test.trades for test in tests]), days, Curve(turns[0].copy(), turns[1].copy())


def efficiency(train: Sequence[tuple[int, int]], test: Sequence[tuple[int, int]]) -> Figure:
    """What of the promise was kept: net per session in the tests over net per session in training, the chosen
    parameters alone (walk-forward efficiency; Pardo, The Evaluation and Optimization of Trading Strategies, 2008, ch.
    11).

    Pairs (net in micros, sessions) of each fold that was run.  Undefined when training made nothing.
    """
    promised, kept = _per_session(train), _per_session(test)
    if promised is None or kept is None:
        return Figure(None, "No fold was run")
    if promised <= 0:
        return Figure(None, "The chosen parameters made nothing in training, so there was no promise to keep")
    return figure(kept / promised)


def _per_session(parts: Sequence[tuple[int, int]]) -> float | None:
    sessions = sum(count for _, count in parts)
    return sum(net for net, _ in parts) / sessions if sessions else None


def _trades(parts: Sequence[Trades]) -> Trades:
    names = ("gross_micros", "commission_micros", "slippage_micros", "entry_ns", "exit_ns", "bars_held", "risk_micros")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Trades(**columns, exit_reason=[reason for part in parts for reason in part.exit_reason])
