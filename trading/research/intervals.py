"""How sure a figure is: bootstrap intervals of whole trading days, block bootstraps, the smallest edge to be seen.

Trades of one day share its market, so days are drawn, never trades (MES-METRIC-13).  Seeded: the same arrays and seed
give the same interval.  Sources: Efron, Tibshirani, An Introduction to the Bootstrap (1993), ch. 13 (percentile
interval); Politis, Romano, The Stationary Bootstrap, JASA 89 (1994); Cochran, Sampling Techniques (1977), 6.4 (error of
a ratio of sums).
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from trading.research.figures import Figure, figure
from trading.research.metrics import NO_TRADES, SESSIONS_A_YEAR, TWO_SESSIONS, sharpe_ratio

DRAWS = 1_000
LEVEL = 0.95
POWER = 0.80
UNDEFINED_MAX = 0.05  # share of draws that may leave a figure undefined before its interval is, too
CELLS_MAX = 4_000_000  # numbers of one piece of work


class Interval(NamedTuple):
    """A figure with its interval; `low` and `high` None, with `why`, where it is undefined.

    `n`: days drawn; `draws`: those of them that left the figure defined.
    """

    value: Figure
    low: float | None
    high: float | None
    n: int
    draws: int
    why: str = ""


def mean_net_interval(
    net_micros: np.ndarray, session: np.ndarray, sessions: int, draws: int = DRAWS, seed: int = 1, level: float = LEVEL
) -> Interval:
    """Mean net per trade in micros (MES-METRIC-13): `sessions` whole days are drawn with replacement `draws` times.

    net_micros (n,) int64; session (n,) the day's index of each trade, 0 .. sessions-1.
    """
    if len(net_micros) == 0:
        return Interval(Figure(None, NO_TRADES), None, None, sessions, 0, NO_TRADES)
    value = figure(float(net_micros.mean()))
    if len(np.unique(session)) < 2:
        return Interval(value, None, None, sessions, 0, "All trades lie in one day: an interval needs at least two")
    sums = np.bincount(session, net_micros.astype(np.float64), sessions)
    counts = np.bincount(session, minlength=sessions).astype(np.float64)
    weights = day_weights(np.random.default_rng(seed), sessions, draws)
    drawn = weights @ counts
    defined = drawn > 0
    return _interval(value, (weights @ sums)[defined] / drawn[defined], sessions, draws, level)


def sharpe_interval(
    returns: np.ndarray, draws: int = DRAWS, seed: int = 1, level: float = LEVEL, mean_block: float = 1.0
) -> Interval:
    """Annual Sharpe of daily returns (D,); `mean_block` 1 draws single days (MES-METRIC-13), more keeps their order."""
    value = sharpe_ratio(returns)
    if value.value is None:
        return Interval(value, None, None, len(returns), 0, value.why)
    rng = np.random.default_rng(seed)
    found = []
    for size in _pieces(draws, len(returns)):
        sample = returns[stationary_indices(rng, len(returns), mean_block, size)]
        defined = sample.max(axis=1) > sample.min(axis=1)
        sample = sample[defined]
        found.append(sample.mean(axis=1) / sample.std(axis=1, ddof=1) * math.sqrt(SESSIONS_A_YEAR))
    return _interval(value, np.concatenate(found), len(returns), draws, level)


class TradeIntervals(NamedTuple):
    """What whole days in blocks leave of a run's trades: mean net in micros, share that won, profit factor."""

    mean_net: Interval
    win_rate: Interval
    profit_factor: Interval


def trade_intervals(
    net_micros: np.ndarray,
    session: np.ndarray,
    sessions: int,
    mean_block: float,
    draws: int = DRAWS,
    seed: int = 1,
    level: float = LEVEL,
) -> TradeIntervals:
    """Block bootstrap of whole days (Politis, Romano 1994): net_micros (n,) int64, session (n,) each trade's day."""
    n = len(net_micros)
    if n == 0 or len(np.unique(session)) < 2:
        why = NO_TRADES if n == 0 else "All trades lie in one day: an interval needs at least two"
        return TradeIntervals(*[Interval(Figure(None, why), None, None, sessions, 0, why)] * 3)
    net = net_micros.astype(np.float64)
    parts = (np.maximum(net, 0.0), np.maximum(-net, 0.0), (net > 0).astype(np.float64), np.ones(n))
    picked = stationary_indices(np.random.default_rng(seed), sessions, mean_block, draws)
    won, lost, wins, count = (np.bincount(session, part, sessions)[picked].sum(axis=1) for part in parts)
    some, fell = count > 0, lost > 0
    total_won, total_lost = float(parts[0].sum()), float(parts[1].sum())
    factor = figure(total_won / total_lost) if total_lost > 0 else Figure(None, "No trade lost")
    mean, share = figure(float(net.mean())), figure(float(parts[2].mean()))
    return TradeIntervals(
        _interval(mean, ((won - lost)[some] / count[some]), sessions, draws, level),
        _interval(share, wins[some] / count[some], sessions, draws, level),
        _interval(factor, won[fell] / lost[fell], sessions, draws, level),
    )


def day_weights(rng: np.random.Generator, days: int, draws: int) -> np.ndarray:
    """(draws, days) float64: how often each day was drawn when `days` days are drawn with replacement."""
    return rng.multinomial(days, np.full(days, 1.0 / days), size=draws).astype(np.float64)


def stationary_indices(rng: np.random.Generator, n: int, mean_block: float, draws: int) -> np.ndarray:
    """(draws, n) int64 indices of the stationary bootstrap: blocks of geometric length, mean `mean_block` >= 1, on a
    circle (Politis, Romano 1994).  A mean of 1 draws every element by itself."""
    assert n >= 1 and mean_block >= 1.0
    begins = rng.random((draws, n)) < 1.0 / mean_block
    begins[:, 0] = True
    starts = rng.integers(0, n, (draws, n))
    step = np.arange(n)
    block = np.maximum.accumulate(np.where(begins, step, 0), axis=1)  # where the block of each place began
    return (np.take_along_axis(starts, block, axis=1) + step - block) % n


def clustered_error(net_micros: np.ndarray, session: np.ndarray, sessions: int) -> Figure:
    """Standard error of the mean net per trade in micros when whole days are the sample (Cochran 1977, eq. 6.13)."""
    if len(net_micros) == 0:
        return Figure(None, NO_TRADES)
    if sessions < 2 or len(np.unique(session)) < 2:
        return Figure(None, "All trades lie in one day: an error needs at least two")
    sums = np.bincount(session, net_micros.astype(np.float64), sessions)
    counts = np.bincount(session, minlength=sessions)
    off = sums - net_micros.mean() * counts
    return figure(math.sqrt(sessions / (sessions - 1) * float(off @ off)) / len(net_micros))


def detectable_edge(
    net_micros: np.ndarray, session: np.ndarray, sessions: int, power: float = POWER, level: float = LEVEL
) -> Figure:
    """Smallest mean net per trade, in micros, that a test at this level finds with this power at this sample size.

    (z of 1 - (1-level)/2 + z of power) x the clustered error (MES-METRIC-13; Cohen, Statistical Power Analysis, 1988).
    """
    error = clustered_error(net_micros, session, sessions)
    if error.value is None:
        return error
    normal = NormalDist()
    return figure((normal.inv_cdf(1 - (1 - level) / 2) + normal.inv_cdf(power)) * error.value)


def detectable_sharpe(days: int, power: float = POWER, level: float = LEVEL) -> Figure:
    """Smallest annual Sharpe found with this power in `days` sessions, normal returns: z's x sqrt(252 / days)
    (Lo, The Statistics of Sharpe Ratios, 2002: the error of a daily Sharpe near 0 is 1 / sqrt(days))."""
    if days < 2:
        return Figure(None, TWO_SESSIONS)
    normal = NormalDist()
    return figure((normal.inv_cdf(1 - (1 - level) / 2) + normal.inv_cdf(power)) * math.sqrt(SESSIONS_A_YEAR / days))


def percentiles(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """(low, high) of the middle `level` of these values, linear interpolation."""
    low, high = np.quantile(values, [(1 - level) / 2, 1 - (1 - level) / 2])
    return float(low), float(high)


def _interval(value: Figure, found: np.ndarray, n: int, draws: int, level: float) -> Interval:
    if len(found) < (1 - UNDEFINED_MAX) * draws:
        why = f"{draws - len(found)} of {draws} draws left it undefined: the sample is too small for an interval"
        return Interval(value, None, None, n, len(found), why)
    low, high = percentiles(found, level)
    return Interval(value, low, high, n, len(found))


def _pieces(draws: int, width: int) -> list[int]:
    """Sizes of pieces of `draws` rows that keep a piece below CELLS_MAX numbers."""
    size = max(1, CELLS_MAX // max(1, width))
    return [min(size, draws - done) for done in range(0, draws, size)]
