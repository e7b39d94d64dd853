"""Where the protective stop and the target of a futures trade belong, in whole ticks (MES-STOP, MES-REV).

One function for plan, replay and backtest; distances from the anchor, never prices of a float.  The share formulas of
the exchange's shares stand in a room of their own.  Called by trading's policy and its answers.
"""

import numpy as np
from numba import njit

from marketdata.core.records import NO_TICK
from marketdata.core.sessions import REDUCED
from marketdata.core.units import PPM
from risk.core.records import STOP_ATR, STOP_STRUCTURE, UNKNOWN

ATR_ROWS = 14
SWING_BARS = 20  # completed one-minute bars that are searched for a swing
SWING_SIDE = 2  # bars on each side that a swing must beat
SWING_BEYOND = 2  # ticks beyond the swing
TARGET_MIN = 4  # ticks


@njit(cache=True)
def swing_ticks(highs: np.ndarray, lows: np.ndarray, count: int, side: int, close_tick: int) -> int:
    """Distance from `close_tick` to 2 ticks beyond the lowest swing low (long) or highest swing high (short).

    `highs`, `lows`: completed one-minute bars of the segment, oldest first, `count` of them.  UNKNOWN without a swing,
    or when the chosen one lies at or beyond the close.
    """
    chosen = NO_TICK
    for i in range(SWING_SIDE, count - SWING_SIDE):
        is_swing = True
        for k in range(i - SWING_SIDE, i + SWING_SIDE + 1):
            if k != i and (lows[k] <= lows[i] if side > 0 else highs[k] >= highs[i]):
                is_swing = False
        if not is_swing:
            continue
        if side > 0:
            chosen = lows[i] if chosen == NO_TICK else min(chosen, lows[i])
        else:
            chosen = highs[i] if chosen == NO_TICK else max(chosen, highs[i])
    if chosen == NO_TICK or (close_tick - chosen) * side <= 0:
        return UNKNOWN
    return (close_tick - chosen) * side + SWING_BEYOND


@njit(cache=True)
def stop_ticks(limits: np.record, phase: int, atr_sum: int, swing: int) -> int:
    """MES-STOP-01 and -02: the stop's distance.  `atr_sum` = Σ14 TR in ticks, `swing` of `swing_ticks`; UNKNOWN each
    where it is not defined: then the fixed distance holds."""
    ticks = limits.stop_ticks
    if limits.stop_method == STOP_ATR and atr_sum != UNKNOWN:
        ticks = atr_sum * limits.stop_atr_ppm // (ATR_ROWS * PPM)
    elif limits.stop_method == STOP_STRUCTURE and swing != UNKNOWN:
        ticks = swing
    ticks = min(max(ticks, limits.stop_ticks_min), limits.stop_ticks_max)
    if phase == REDUCED and limits.stop_reduced_ppm < PPM:
        ticks = max(limits.stop_ticks_min, ticks * limits.stop_reduced_ppm // PPM)
    return ticks


@njit(cache=True)
def target_ticks(limits: np.record, stop: int) -> int:
    """MES-STOP-03: the target's distance for this stop, 0 for none."""
    if limits.target_ticks > 0:
        return limits.target_ticks
    if limits.target_ratio_ppm == 0:
        return 0
    return max(TARGET_MIN, stop * limits.target_ratio_ppm // PPM)


@njit(cache=True)
def trailed(limits: np.record, side: int, entry_tick: int, stop_tick: int, close_tick: int) -> int:
    """MES-STOP-05: the stop after a completed bar; only ever tighter.  `entry_tick`: average entry fill."""
    if limits.trail_ticks <= 0 or (close_tick - entry_tick) * side < limits.trail_ticks:
        return stop_tick
    candidate = close_tick - side * limits.trail_ticks
    if (entry_tick - candidate) * side > 0:
        candidate = entry_tick
    return candidate if (candidate - stop_tick) * side > 0 else stop_tick
