"""What else could have happened with the same trades: drawdowns of other orders, ends of other sequences of days.

MES-GUARD-04.  (a) The trades in random order: the end stays, the way there does not.  (b) Daily returns by the
stationary bootstrap (Politis, Romano 1994), mean block 5 days: end and way both move.  Seeded; money in integer micros
in (a), in float equity in (b), for that compounds returns.  Risk of ruin is the share of paths that ever lose so much
(Vince, The Mathematics of Money Management, 1992).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from trading.research.intervals import CELLS_MAX, percentiles, stationary_indices

PATHS = 1_000
MEAN_BLOCK_DAYS = 5.0
LOSS_LEVELS_MICROS = (200_000_000, 300_000_000)  # MES-GUARD-04: $200 and $300


class Spread(NamedTuple):
    """5, 50 and 95 % of the paths, and the interval that holds the middle 95 % of them."""

    p05: float
    p50: float
    p95: float
    low: float
    high: float


class Paths(NamedTuple):
    """`end_micros`: equity at the end; `drawdown_micros`, `drawdown_share`: deepest fall from the running peak;
    `loss_chance`: level in micros → share of paths whose equity ever lay so far below the start."""

    paths: int
    length: int
    end_micros: Spread
    drawdown_micros: Spread
    drawdown_share: Spread
    loss_chance: dict[int, float]


class _Walked(NamedTuple):
    """One row a path: end, deepest fall in micros and as a share, lowest equity."""

    end: np.ndarray
    fall: np.ndarray
    share: np.ndarray
    low: np.ndarray


def shuffled_trades(
    net_micros: np.ndarray,
    start_micros: int,
    paths: int = PATHS,
    seed: int = 1,
    levels: Sequence[int] = LOSS_LEVELS_MICROS,
) -> Paths:
    """Paths of the same trades in random order; net_micros (n,) int64, n >= 1."""
    assert len(net_micros) >= 1 and np.abs(net_micros.astype(np.float64)).sum() + start_micros < 2**62
    rng = np.random.default_rng(seed)

    def draw(size: int) -> np.ndarray:
        rows = np.repeat(net_micros[None, :], size, axis=0)
        return start_micros + rng.permuted(rows, axis=1).cumsum(axis=1)

    return _paths(draw, len(net_micros), start_micros, paths, levels)


def bootstrapped_days(
    returns: np.ndarray,
    start_micros: int,
    paths: int = PATHS,
    seed: int = 1,
    mean_block: float = MEAN_BLOCK_DAYS,
    levels: Sequence[int] = LOSS_LEVELS_MICROS,
) -> Paths:
    """Paths of daily returns drawn in blocks; returns (D,) float64, D >= 1.  As long as the period was."""
    assert len(returns) >= 1
    rng = np.random.default_rng(seed)

    def draw(size: int) -> np.ndarray:
        sample = returns[stationary_indices(rng, len(returns), mean_block, size)]
        return start_micros * np.cumprod(1 + sample, axis=1)

    return _paths(draw, len(returns), start_micros, paths, levels)


def _paths(
    draw: Callable[[int], np.ndarray], length: int, start_micros: int, paths: int, levels: Sequence[int]
) -> Paths:
    size = max(1, CELLS_MAX // length)
    parts = [_walk(draw(min(size, paths - done)), start_micros) for done in range(0, paths, size)]
    walked = _Walked(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    chance = {level: float((walked.low <= start_micros - level).mean()) for level in levels}
    return Paths(paths, length, _spread(walked.end), _spread(walked.fall), _spread(walked.share), chance)


def _walk(equity: np.ndarray, start_micros: int) -> _Walked:
    """(paths, length) equity → what is kept of each path."""
    peaks = np.maximum(np.maximum.accumulate(equity, axis=1), start_micros)
    fallen = peaks - equity
    return _Walked(equity[:, -1], fallen.max(axis=1), (fallen / peaks).max(axis=1), equity.min(axis=1))


def _spread(values: np.ndarray) -> Spread:
    p05, p50, p95 = np.quantile(values, [0.05, 0.5, 0.95])
    return Spread(float(p05), float(p50), float(p95), *percentiles(values))
