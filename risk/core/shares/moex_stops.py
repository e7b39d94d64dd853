"""Stops of MOEX shares: the formula, its tick form, trailing, trigger and exits (MOEX-STOP).  One function serves plan,
trailing and backtest.

Average range and spread are measured quantities, so the formula is a float in ticks; it becomes a price in `stop_tick`
alone, whose rounding is the specification's.  Everything else is integers.  Pure; called by the kernel.
"""

import math

from numba import njit

from marketdata.core.records import BUY, NO_TICK, NO_TIME
from marketdata.core.units import NANOS, PPM
from risk.core.exact import share_ceil

RANGE_FACTOR = 1.8  # of the average true range of five one-minute candles
SPREAD_FACTOR = 0.5
GRID_TOLERANCE = 1e-6  # of a tick: what counts as on the grid
BOOK_AGE_NS_MAX = NANOS
TRADE_AGE_NS_MAX = 5 * NANOS
NET_STEP_NS_MIN = 60 * NANOS  # the broker's stop follows at most this often

# trail_anchor, as LIMITS has it
ANCHOR_ENTRY, ANCHOR_BEST = 0, 1
# exits, in the order in which they win (MOEX-STOP-05)
NO_EXIT, BY_FLATTEN, BY_STOP_LOSS, BY_TIME_LIMIT, BY_TAKE_PROFIT, BY_REVERSAL = range(6)
EXITS = ("NO_EXIT", "FLATTEN", "STOP_LOSS", "TIME_LIMIT", "TAKE_PROFIT", "REVERSAL")


@njit(cache=True)
def _measured(value: float) -> float:
    """A negative, missing or non-finite measurement counts as 0, so that the floor applies."""
    return value if math.isfinite(value) and value > 0.0 else 0.0


@njit(cache=True)
def offset(entry: float, average_range: float, spread: float, spread_floor: float) -> float:
    """Distance of the stop as a share of the entry price; all prices in one unit.  `entry` > 0."""
    return RANGE_FACTOR * _measured(average_range) / entry + SPREAD_FACTOR * max(
        _measured(spread) / entry, spread_floor
    )


@njit(cache=True)
def stop_price(side: int, entry: float, average_range: float, spread: float, spread_floor: float, tick: float) -> float:
    """The exact stop (MOEX-STOP-01), in the unit of `entry`; NaN when the entry price is no price (STOP_INVALID).

    `tick` is the price step in the same unit: a long stop is at least min(0.01, tick).
    """
    if not math.isfinite(entry) or entry <= 0.0:
        return math.nan
    stop = entry * (1.0 - side * offset(entry, average_range, spread, spread_floor))
    return max(stop, min(0.01, tick)) if side == BUY else stop


@njit(cache=True)
def stop_tick(side: int, stop: float, tick: float, anchor_tick: int) -> int:
    """The stop on the grid, rounded towards the anchor and kept beyond it by one tick (MOEX-STOP-02).

    Long: up, within [1, anchor − 1]; short: down, at least anchor + 1.  NO_TICK when there is no finite stop or, for
    a long, no tick left below the anchor.
    """
    if not math.isfinite(stop) or anchor_tick < 2:
        return NO_TICK
    exact = stop / tick
    if side == BUY:
        return min(max(math.ceil(exact - GRID_TOLERANCE), 1), anchor_tick - 1)
    return max(math.floor(exact + GRID_TOLERANCE), anchor_tick + 1)


@njit(cache=True)
def initial_stop_tick(
    side: int, entry_tick: int, average_range: float, spread: float, spread_floor: float, tick: float
) -> int:
    """The plan's stop: from the aggressive child's limit before the first fill, from the average fill after it.

    `average_range` and `spread` in the unit of `tick`.  NO_TICK: STOP_INVALID.
    """
    stop = stop_price(side, entry_tick * tick, average_range, spread, spread_floor, tick)
    return stop_tick(side, stop, tick, entry_tick)


@njit(cache=True)
def tighter(side: int, old_tick: int, new_tick: int) -> int:
    """The nearer of two stops: a stop never loosens.  NO_TICK is no stop."""
    if old_tick == NO_TICK or new_tick == NO_TICK:
        return old_tick if new_tick == NO_TICK else new_tick
    return max(old_tick, new_tick) if side == BUY else min(old_tick, new_tick)


@njit(cache=True)
def best_tick(side: int, best_twice: int, bid_tick: int, ask_tick: int) -> int:
    """Most favourable mid since the entry, in half ticks; `best_twice` is the one so far, NO_TICK before the first."""
    twice_mid = bid_tick + ask_tick
    if best_twice == NO_TICK:
        return twice_mid
    return max(best_twice, twice_mid) if side == BUY else min(best_twice, twice_mid)


@njit(cache=True)
def trailed_stop_tick(
    side: int,
    old_tick: int,
    entry_tick: int,
    best_twice: int,
    anchor: int,
    average_range: float,
    spread: float,
    spread_floor: float,
    tick: float,
    bid_tick: int,
    ask_tick: int,
) -> int:
    """The stop after one check on a valid book (MOEX-STOP-03): tightened, or as it was.

    Without a measured range nothing is tightened.  `best_twice` in half ticks, used with ANCHOR_BEST only.
    """
    if not math.isfinite(average_range) or average_range < 0.0 or not 0 < bid_tick < ask_tick:
        return old_tick
    entry = entry_tick * tick
    if anchor == ANCHOR_BEST:
        best = best_twice * tick / 2.0
        stop = best * (1.0 - side * offset(entry, average_range, spread, spread_floor))
        candidate = stop_tick(side, stop, tick, (best_twice + 1) // 2)
    else:
        candidate = initial_stop_tick(side, entry_tick, average_range, spread, spread_floor, tick)
    if candidate == NO_TICK:
        return old_tick
    candidate = min(candidate, bid_tick - 1) if side == BUY else max(candidate, ask_tick + 1)
    return tighter(side, old_tick, candidate)


@njit(cache=True)
def is_triggered(side: int, stop: int, twice_price: int) -> bool:
    """True when a price, in half ticks, stands at or beyond the stop (MOEX-STOP-04)."""
    return twice_price <= 2 * stop if side == BUY else twice_price >= 2 * stop


@njit(cache=True)
def trigger_twice_tick(
    now_ns: int, book_ts_ns: int, bid_tick: int, ask_tick: int, trade_ts_ns: int, trade_tick: int, entry_fill_ns: int
) -> int:
    """The price that a stop is tested against, in half ticks: the mid of the last valid book; when that is older than
    1.0 s, the last trade, if not older than 5 s and later than both that book and the last entry fill.  NO_TICK: no
    trigger (MOEX-STOP-04)."""
    if book_ts_ns != NO_TIME and now_ns - book_ts_ns <= BOOK_AGE_NS_MAX:
        return bid_tick + ask_tick
    if trade_ts_ns == NO_TIME or now_ns - trade_ts_ns > TRADE_AGE_NS_MAX:
        return NO_TICK
    if trade_ts_ns <= book_ts_ns or trade_ts_ns <= entry_fill_ns:
        return NO_TICK
    return 2 * trade_tick


@njit(cache=True)
def takes_profit(side: int, cost_ticks: int, lots: int, twice_mid: int, take_profit_ppm: int) -> bool:
    """True when the mid is better than the average fill by at least the fraction; 0 ppm is off (MOEX-STOP-05).

    `cost_ticks` = Σ price x quantity of the `lots` held, both positive, so the average is compared exactly.
    """
    if take_profit_ppm <= 0 or lots <= 0:
        return False
    twice_gain = side * (twice_mid * lots - 2 * cost_ticks)
    return twice_gain >= share_ceil(2 * cost_ticks, take_profit_ppm, PPM)


@njit(cache=True)
def exit_reason(
    flatten: bool, stop_hit: bool, now_ns: int, first_fill_ns: int, hold_ns_max: int, profit: bool, reversal: bool
) -> int:
    """The first true reason to close, in the order of MOEX-STOP-05."""
    if flatten:
        return BY_FLATTEN
    if stop_hit:
        return BY_STOP_LOSS
    if hold_ns_max > 0 and now_ns - first_fill_ns > hold_ns_max:
        return BY_TIME_LIMIT
    if profit:
        return BY_TAKE_PROFIT
    return BY_REVERSAL if reversal else NO_EXIT


@njit(cache=True)
def reverses(side: int, score_side: int, confidence_ppm: int, confidence_ppm_min: int) -> bool:
    """A score of the opposite side with enough confidence closes; it never flips in one order (MOEX-STOP-05)."""
    return side * score_side < 0 and confidence_ppm >= confidence_ppm_min


@njit(cache=True)
def net_tick(side: int, entry_tick: int, stop: int, widen_ppm: int) -> int:
    """The broker's own stop: ours widened by a share of its distance, rounded outward, at least 1 (MOEX-STOP-06)."""
    widened = share_ceil(abs(entry_tick - stop), widen_ppm, PPM)
    return max(stop - widened, 1) if side == BUY else stop + widened
