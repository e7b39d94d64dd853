"""Families of strategies on random tapes: what a search does to noise, and to an edge that was planted and is known.

A family is one tape and a grid of momentum rules (lookback x threshold): at fixed bars of each session the sign of the
move over the lookback, if it is large enough, is held for HOLD bars.  Its best by Sharpe is what a search would choose.
On noise the tape has no memory; with a planted edge the next HOLD bars drift by `drift_ticks` per standardised unit of
the move over LOOKBACKS[PLANTED] bars.  Vectorised over days; one seed makes one family.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from trading.research.criticism import Search, Subject
from trading.research.luck.plateau import Axis, Point
from trading.research.metrics import sharpe_ratio
from trading.research.records import Curve, Days, Trades

DAY_NS, SECOND_NS = 86_400_000_000_000, 1_000_000_000
LOOKBACKS = (7, 8, 10, 11, 13, 15, 17, 19, 22, 25, 29)
THRESHOLDS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)  # in standard deviations of the move over the lookback
PLANTED = 5  # lookback 15: inside the grid, so that the best has neighbours on both sides
HOLD, DECISIONS = 10, 12  # bars; decisions of one session, the first after the longest lookback
SIGMA_TICKS = 2.0  # deviation of one bar
TICK_MICROS = 1_250_000
START_MICROS = 10_000_000_000


class World(NamedTuple):
    """How a family is made.  `cost_ticks`: of a round trip, half commission and half slippage."""

    days: int = 504
    drift_ticks: float = 0.0
    cost_ticks: float = 0.0


class Family(NamedTuple):
    """The grid's results: points in order, net micros (points, days, DECISIONS), whether a trade was made."""

    points: list[Point]
    gross: np.ndarray
    traded: np.ndarray
    world: World


def sharpe_at(world: World, threshold: float) -> float:
    """Annual Sharpe of the planted lookback with this threshold t, in closed form.

    A decision trades with probability 2Q(t) and then earns drift·φ(t)/Q(t) less the cost; with x standard normal beyond
    t, E x² = 1 + t·φ(t)/Q(t).  Beside the drift a trade has the noise of its own bars.  DECISIONS a day.
    """
    beyond, density = NormalDist().cdf(-threshold), NormalDist().pdf(threshold)
    mean = 2 * (world.drift_ticks * density - world.cost_ticks * beyond)
    drifted = world.drift_ticks**2 * (beyond + threshold * density)
    squared = 2 * (HOLD * SIGMA_TICKS**2 * beyond + drifted)
    squared += 2 * (world.cost_ticks**2 * beyond - 2 * world.cost_ticks * world.drift_ticks * density)
    return mean * math.sqrt(DECISIONS * 252 / (squared - mean**2))


def best_threshold(world: World) -> int:
    """Index of the threshold that is truly the best with the planted lookback."""
    return max(range(len(THRESHOLDS)), key=lambda j: sharpe_at(world, THRESHOLDS[j]))


def known_sharpe(world: World) -> float:
    """The annual Sharpe that the best rule of the grid truly has; a search that is lucky shows more."""
    return sharpe_at(world, THRESHOLDS[best_threshold(world)])


def drift_for(sharpe: float, cost_ticks: float) -> float:
    """The drift with which the best rule has this annual Sharpe (bisection of `known_sharpe`)."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        below = known_sharpe(World(drift_ticks=middle, cost_ticks=cost_ticks)) < sharpe
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def tape(world: World, seed: int) -> np.ndarray:
    """(days, bars) int64 closes in ticks of each session, which begins anew."""
    rng = np.random.default_rng(seed)
    longest = LOOKBACKS[-1]
    moves = rng.normal(0, SIGMA_TICKS, (world.days, longest + HOLD * DECISIONS))
    unit = SIGMA_TICKS * math.sqrt(LOOKBACKS[PLANTED])
    if world.drift_ticks:
        for at in range(longest, longest + HOLD * DECISIONS, HOLD):
            seen = moves[:, at - LOOKBACKS[PLANTED] : at].sum(axis=1) / unit
            moves[:, at : at + HOLD] += (world.drift_ticks * seen / HOLD)[:, None]
    start = np.zeros((world.days, 1))
    return np.rint(np.concatenate([start, moves.cumsum(axis=1)], axis=1)).astype(np.int64)


def family(world: World, seed: int) -> Family:
    """All points of the grid on one tape; gross in micros at close prices, costs apart."""
    close = tape(world, seed)
    at = np.arange(LOOKBACKS[-1], LOOKBACKS[-1] + HOLD * DECISIONS, HOLD)
    later = close[:, at + HOLD] - close[:, at]
    points: list[Point] = []
    gross, traded = [], []
    for i, lookback in enumerate(LOOKBACKS):
        seen = close[:, at] - close[:, at - lookback]
        for j, threshold in enumerate(THRESHOLDS):
            side = np.where(np.abs(seen) > threshold * SIGMA_TICKS * math.sqrt(lookback), np.sign(seen), 0)
            points.append((i, j))
            gross.append(side * later * TICK_MICROS)
            traded.append(side != 0)
    return Family(points, np.array(gross, np.int64), np.array(traded), world)


def subject_of(made: Family) -> Subject:
    """The family's best by annual Sharpe, to be criticised with all trials of its grid."""
    half = round(made.world.cost_ticks * TICK_MICROS / 2)
    # slippage is inside gross, commission is not
    gross = made.gross - made.traded * half
    daily = (gross - made.traded * half).sum(axis=2)
    equity = START_MICROS + daily.cumsum(axis=1)
    opening = np.concatenate([np.full((len(daily), 1), START_MICROS), equity[:, :-1]], axis=1)
    returns = daily / opening
    scores = {point: sharpe_ratio(row).value for point, row in zip(made.points, returns, strict=True)}
    best = max(range(len(made.points)), key=lambda k: scores[made.points[k]] or -math.inf)
    sharpes = np.array([sharpe_ratio(row, 1).value or 0.0 for row in returns])
    axes = Axis("lookback", len(LOOKBACKS)), Axis("threshold", len(THRESHOLDS))
    trades, days = _run(gross[best], made.traded[best], half, equity[best])
    return Subject(
        trades, days, Curve(days.close_ns, days.equity_micros), sharpes, returns.T.copy(),
        Search(axes, made.points[best], scores),
    )  # fmt: skip


def _run(gross: np.ndarray, traded: np.ndarray, half: int, equity: np.ndarray) -> tuple[Trades, Days]:
    count = len(equity)
    close_ns = (np.arange(count, dtype=np.int64) + 1) * DAY_NS
    exits = close_ns[:, None] - DAY_NS // 2 + np.arange(1, DECISIONS + 1) * HOLD * SECOND_NS
    n = int(traded.sum())
    trades = Trades(
        gross_micros=gross[traded], commission_micros=np.full(n, half, np.int64),
        slippage_micros=np.full(n, half, np.int64), entry_ns=exits[traded] - HOLD * SECOND_NS, exit_ns=exits[traded],
        bars_held=np.full(n, HOLD, np.int64), exit_reason=["time"] * n, risk_micros=np.zeros(n, np.int64),
    )  # fmt: skip
    return trades, Days(0, START_MICROS, 20_000_101 + np.arange(count, dtype=np.int64), close_ns, equity)
