"""What a walk-forward showed: every fold, the infeasible ones too, how much was lost from validation to test (MES-WF).

A fold without a metric takes no part in means, but it counts as not profitable and is named (MES-WF-04).  Called by
walk-forward reports and the go-live gate.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, figure, ratio
from trading.research.records import Days, ResearchError, ascends

TRADES_MIN = 100
FOLDS_MIN = 3
SCORE_MAX = 0.30
SPREAD_MAX = 0.5


class FoldResult(NamedTuple):
    """One fold.  `reason`: why it could not be run, else empty.  The metric is the objective's, Sharpe by default, on
    validation and on test; `net_micros` of the test."""

    number: int
    reason: str
    trades: int
    net_micros: int
    validation: Figure
    test: Figure


class WalkForward(NamedTuple):
    """MES-WF-04 and -05.  `notes`: (fold number, reason) of every fold that counts as not profitable for another
    reason than its result.  `score`: 1 - mean test / mean validation, over the folds that have both."""

    folds: tuple[FoldResult, ...]
    notes: tuple[tuple[int, str], ...]
    profitable: Figure
    mean: Figure
    deviation: Figure
    worst: Figure
    score: Figure
    robust: bool
    why_not: str


def summarise(folds: Sequence[FoldResult], trades_min: int = TRADES_MIN) -> WalkForward:
    notes = [(fold.number, note) for fold in folds if (note := _note(fold, trades_min))]
    noted = {number for number, _ in notes}
    profitable = sum(
        fold.number not in noted and fold.net_micros > 0 and (fold.test.value or 0.0) > 0 for fold in folds
    )
    tests = np.array([fold.test.value for fold in folds if fold.test.value is not None])
    none = Figure(None, "No fold has a test metric")
    mean = figure(float(tests.mean())) if len(tests) else none
    spread = figure(float(tests.std(ddof=1))) if len(tests) > 1 else Figure(None, "Two folds with a metric are needed")
    worst = figure(float(tests.min())) if len(tests) else none
    score = _score(folds)
    why_not = _why_not(len(tests), mean, spread, score)
    share = ratio(profitable, len(folds), "There are no folds")
    return WalkForward(tuple(folds), tuple(notes), share, mean, spread, worst, score, not why_not, why_not)


def concatenated(start_micros: int, tests: Sequence[Days]) -> Days:
    """One equity of all folds' tests: each began with its own starting capital, their P&L adds up (MES-WF-02).

    Raises ResearchError for no test, or tests that overlap or are not in order.
    """
    if not tests:
        raise ResearchError("there is no test to put together")
    equity, before = [], start_micros
    for test in tests:
        equity.append(before + (test.equity_micros - test.start_micros))
        before += test.end_micros - test.start_micros
    day = np.concatenate([test.trading_day for test in tests])
    if not ascends(day):
        raise ResearchError("the tests of the folds overlap or are out of order: a day would count twice")
    close = np.concatenate([test.close_ns for test in tests])
    return Days(tests[0].start_ns, start_micros, day, close, np.concatenate(equity))


def _note(fold: FoldResult, trades_min: int) -> str:
    if fold.reason:
        return fold.reason
    if fold.trades < trades_min:
        return f"{fold.trades} trades, {trades_min} are needed"
    return "" if fold.test.value is not None else f"its test has no metric: {fold.test.why}"


def _score(folds: Sequence[FoldResult]) -> Figure:
    both = [
        (fold.validation.value, fold.test.value)
        for fold in folds
        if fold.validation.value is not None and fold.test.value is not None
    ]
    if not both:
        return Figure(None, "No fold has both metrics")
    validation, test = np.array(both).mean(axis=0).tolist()
    if validation <= 0:
        return Figure(None, "The mean of validation is not above zero, so a loss from it means nothing")
    return figure(1 - test / validation)


def _why_not(count: int, mean: Figure, spread: Figure, score: Figure) -> str:
    """Why the walk-forward is not robust; empty when it is (MES-WF-05)."""
    if count < FOLDS_MIN or mean.value is None or spread.value is None:
        return f"{count} folds have a test metric, {FOLDS_MIN} are needed"
    if mean.value <= 0:
        return "the mean of the test metric is not above zero"
    if spread.value / mean.value >= SPREAD_MAX:
        return f"the deviation of the tests is {spread.value / mean.value:.2f} of their mean, not below {SPREAD_MAX}"
    if score.value is None:
        return score.why
    return "" if score.value < SCORE_MAX else f"the overfitting score is {score.value:.2f}, not below {SCORE_MAX}"
