"""Strategies to begin with: small functions of bars, for a first backtest.  Neither is believed to have an edge.

Called by the backtest as `trading.studies.examples:NAME`; `docs/backtest.md` says what a function gets and gives.
"""

import numpy as np

from trading.run.backtest.signals import StrategyBars


def dips(bars: StrategyBars, depth: int = 3, lookback: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Buy a fall of `depth` ticks over `lookback` bars, surer the deeper it was.

    (n,) int64 classes 0 or 1, and (n,) float64 confidences in 0 .. 1.
    """
    fall = np.zeros(len(bars.close), np.int64)
    fall[lookback:] = bars.close[lookback:] - bars.close[:-lookback]
    below = fall <= -depth
    return np.where(below, 1, 0), np.clip(0.7 + 0.02 * (-depth - fall), 0, 1) * below


def crossing(bars: StrategyBars, fast: int = 20, slow: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Follow the mean of `fast` bars when it crosses that of `slow`.

    (n,) int64 classes −1, 0 or 1, and (n,) float64 confidences, 0.8 where there is a decision.
    """
    above = np.sign(_mean_sum(bars.close, fast) * slow - _mean_sum(bars.close, slow) * fast)
    above[: max(fast, slow)] = 0
    crossed = np.zeros(len(above), np.int64)
    crossed[1:] = np.where((above[1:] != above[:-1]) & (above[:-1] != 0), above[1:], 0)
    return crossed, 0.8 * (crossed != 0)


def _mean_sum(values: np.ndarray, length: int) -> np.ndarray:
    """(n,) int64 sums of the last `length` values: exact, so a chunk's end changes no sign."""
    total = np.cumsum(values)
    total[length:] -= total[:-length].copy()
    return total
