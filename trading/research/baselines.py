"""What a result is held against: signals of no skill, of perfect foresight, of its mirror, and of shuffled labels.

MES-SANE-01 .. -04.  A signal of bar t (int8: -1 short, 0 none, +1 long) is known at its close and acts at the open of
the next bar, as in a backtest's `signal` column.  `oracle` and its mirror look into the future on purpose: they exist
to prove the engine and to bound what is possible, and must never reach a network or an order.  Prices are integer
ticks; the segment's number is the same for bars that a position may span (MES-DATA-21).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from trading.research.records import ResearchError, in_order

DOWN, FLAT, UP, NO_LABEL = 0, 1, 2, -1  # MES-LABEL-01


class Best(NamedTuple):
    """`net_micros`: the most that one contract could have made; `position` (n,) int8: what it holds from the open of
    bar t to that of the next one."""

    net_micros: int
    position: np.ndarray


def random_signals(tradable: np.ndarray, seed: int, share: float = 1.0) -> np.ndarray:
    """(n,) int8: a random direction on `share` of the bars where `tradable` (n,) bool, else 0 (MES-SANE-01).

    Every direction and bar is drawn by itself: no skill, no memory, no look at a price.
    """
    assert 0 <= share <= 1
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 2, len(tradable), dtype=np.int8) * 2 - 1
    return np.where(tradable & (rng.random(len(tradable)) < share), side, 0).astype(np.int8)


def foresight_labels(close_tick: np.ndarray, segment: np.ndarray, horizon: int, threshold_ticks: int) -> np.ndarray:
    """(n,) int8 labels from bars on a whole grid: the move over `horizon` bars strictly beyond the threshold is UP or
    DOWN, else FLAT; NO_LABEL where the segment ends before (MES-LABEL-01, -02)."""
    n = len(close_tick)
    assert horizon >= 1
    label = np.full(n, NO_LABEL, np.int8)
    if n > horizon:
        move = close_tick[horizon:] - close_tick[:-horizon]
        seen = np.where(move > threshold_ticks, UP, np.where(move < -threshold_ticks, DOWN, FLAT))
        label[:-horizon] = np.where(segment[horizon:] == segment[:-horizon], seen, NO_LABEL)
    return label


def oracle(labels: np.ndarray) -> np.ndarray:
    """(n,) int8: labels taken as signals (MES-SANE-02); no label is no signal."""
    return np.where(labels == UP, 1, np.where(labels == DOWN, -1, 0)).astype(np.int8)


def inverse_oracle(labels: np.ndarray) -> np.ndarray:
    """(n,) int8: the oracle's mirror; without slippage its gross is the exact negative (MES-SANE-03)."""
    return -oracle(labels)


def shuffled_labels(labels: np.ndarray, day: np.ndarray, seed: int) -> np.ndarray:
    """(n,) int8: the labels of each day (n,) int64, ascending, in random order; what has none keeps none (MES-SANE-04).

    Every day keeps its counts, so only the tie between a row and its label is gone: nothing is left to learn.
    """
    if not in_order(day):
        raise ResearchError("days do not ascend: labels would be shuffled over the border of one")
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(labels != NO_LABEL)
    shuffled = labels.copy()
    # sorted by day, then by a random key: a shuffle inside each day in one pass
    order = np.lexsort((rng.random(len(known)), day[known]))
    shuffled[known] = labels[known[order]]
    return shuffled


def best_possible(open_tick: np.ndarray, segment: np.ndarray, tick_value_micros: int, side_cost_micros: int) -> Best:
    """The most that any strategy could make which holds -1, 0 or +1 contract and trades at opens.

    open_tick (n,) int64; segment (n,) int64, flat at the last open of each; `side_cost_micros` >= 0 is paid for every
    contract bought or sold (fee and slippage of a side).  Exact, by dynamic programming backwards (Bellman 1957): an
    upper bound for what a strategy with the same fills may report.  Raises ResearchError beyond int64.
    """
    n = len(open_tick)
    if n != len(segment):
        raise ResearchError(f"{n} opens and {len(segment)} segments do not belong together")
    assert side_cost_micros >= 0 and tick_value_micros > 0
    moved = float(np.abs(np.diff(open_tick.astype(np.float64))).sum()) if n else 0.0
    if moved * tick_value_micros + 2.0 * n * side_cost_micros >= 2**62:
        raise ResearchError("the moves of these bars are worth more than int64 holds")
    position = np.zeros(n, np.int8)
    if n == 0:
        return Best(0, position)
    net = _best_path(open_tick, segment, tick_value_micros, side_cost_micros, np.empty((n, 3), np.int8), position)
    return Best(int(net), position)


@njit(cache=True)
def _best_path(
    open_tick: np.ndarray, segment: np.ndarray, tick_value: int, cost: int, choice: np.ndarray, position: np.ndarray
) -> int:
    """Backwards: worth of arriving at open i with position p - 1, and what is best held from there; then forwards.

    A tie keeps the smaller change, then the lower position, so that the path is one.
    """
    n = len(open_tick)
    worth = np.zeros(3, np.int64)
    now = np.zeros(3, np.int64)
    for i in range(n - 1, -1, -1):
        last = i == n - 1 or segment[i + 1] != segment[i]
        move = 0 if last else (open_tick[i + 1] - open_tick[i]) * tick_value
        for p in range(3):
            best = 0
            held = -1
            for q in range(3):
                if last and q != 1:
                    continue
                value = worth[q] + (q - 1) * move - cost * abs(q - p)
                if held < 0 or value > best or (value == best and abs(q - p) < abs(held - p)):
                    best = value
                    held = q
            now[p] = best
            choice[i, p] = held
        for p in range(3):
            worth[p] = now[p]
    p = 1
    for i in range(n):
        p = choice[i, p]
        position[i] = p - 1
    return worth[1]
