"""Whether choosing the best in the past chooses well for the future: PBO by combinatorially symmetric cross-validation.

Source: Bailey, Borwein, López de Prado, Zhu, The Probability of Backtest Overfitting, Journal of Computational Finance
20 (2017).  Daily returns of all trials are cut into blocks of days; in every half of the blocks the best trial is
chosen, and its rank in the other half is looked at.  Constants and ties are those of MES-GUARD-03.
"""

import functools
from itertools import combinations
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, figure

BLOCKS = 16
# numbers of one piece of work: it stays in the cache, and under the size from which every new array is fetched from the
# system anew, page by page, which took six times as long at 10,000 trials
CELLS_MAX = 40_000
ROUNDING = 1e-12  # a variance below this share of the mean square is rounding, a difference below it a tie


class Overfit(NamedTuple):
    """`pbo`: share of splits whose best trial ranks in the lower half elsewhere.  `logits` (splits,) float64, higher
    with the rank elsewhere; `loses`: share of splits whose best trial has a Sharpe below 0 elsewhere."""

    pbo: Figure
    logits: np.ndarray
    loses: Figure
    trials: int
    days: int  # used: whole blocks only, the remainder dropped at the start
    splits: int


def overfit_probability(returns: np.ndarray, blocks: int = BLOCKS) -> Overfit:
    """PBO of (T, N) daily returns, one column a trial, a row the same session for all; `blocks` even.

    Undefined for N = 1 (nothing was chosen), for fewer sessions than two blocks of one half hold, and for returns that
    are not finite.  A Sharpe that is undefined in a half counts as 0; several best take the mean of their ranks.
    """
    days, trials = returns.shape
    assert blocks >= 2 and blocks % 2 == 0
    length = days // blocks
    nothing = np.empty(0)
    if trials < 2:
        why = Figure(None, "One trial was run, so nothing was chosen")
        return Overfit(why, nothing, why, trials, days, 0)
    if length * blocks // 2 < 2:
        why = Figure(None, f"{days} sessions cannot be cut into {blocks} blocks")
        return Overfit(why, nothing, why, trials, days, 0)
    if not np.isfinite(returns).all():
        why = Figure(None, "The trials' daily returns are not all known")
        return Overfit(why, nothing, why, trials, days, 0)
    cut = returns[days - length * blocks :].reshape(blocks, length, trials)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    splits = half_splits(blocks)
    ranks, loses = np.empty(len(splits)), np.empty(len(splits), np.bool_)
    for first in range(0, len(splits) // 2, max(1, CELLS_MAX // trials)):
        # in lexical order the other half of split i is split -1 - i: each Sharpe is computed once and looked at twice
        here = slice(first, min(first + max(1, CELLS_MAX // trials), len(splits) // 2))
        half = splits[here]
        one, two = (_sharpes(side @ sums, side @ squares, length * blocks // 2) for side in (half, 1 - half))
        mirror = slice(len(splits) - here.stop, len(splits) - here.start)
        ranks[here], loses[here] = _ranks_of_best(one, two)
        ranks[mirror], loses[mirror] = (found[::-1] for found in _ranks_of_best(two, one))
    share = ranks / (trials + 1)
    logits = np.log(share / (1 - share))
    pbo = figure(float((logits <= 0).mean()))
    return Overfit(pbo, logits, figure(float(loses.mean())), trials, length * blocks, len(splits))


@functools.cache
def half_splits(blocks: int) -> np.ndarray:
    """(C(blocks, blocks/2), blocks) float64 of 0 and 1, read-only: every choice of half of the blocks, in lexical
    order."""
    picks = np.array(list(combinations(range(blocks), blocks // 2)))
    splits = np.zeros((len(picks), blocks))
    np.put_along_axis(splits, picks, 1.0, axis=1)
    splits.flags.writeable = False
    return splits


def _sharpes(sums: np.ndarray, squares: np.ndarray, n: int) -> np.ndarray:
    """Daily Sharpe (ddof 1) from sums over n days; 0 where the deviation is.  Rounded, so that equals are equal."""
    spread = squares - sums**2 / n
    defined = spread > ROUNDING * squares
    spread = np.where(defined, spread, 1.0)
    return np.round(np.where(defined, sums / n / np.sqrt(spread / (n - 1)), 0.0), 12)


def _ranks_of_best(best: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rank elsewhere 1 = worst .. N, whether it loses there) of each row's best; ties take the mean rank."""
    top = best == best.max(axis=1, keepdims=True)
    first = top.argmax(axis=1)
    value = other[np.arange(len(other)), first][:, None]
    rank = (other < value).sum(axis=1) + ((other == value).sum(axis=1) + 1) / 2
    loses = value[:, 0] < 0
    for row in np.flatnonzero(top.sum(axis=1) > 1):
        _, place, counts = np.unique(other[row], return_inverse=True, return_counts=True)
        mean_rank = counts.cumsum() - (counts - 1) / 2
        rank[row] = mean_rank[place[top[row]]].mean()
        loses[row] = other[row, top[row]].mean() < 0
    return rank, loses
