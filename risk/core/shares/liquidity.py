"""Liquidity forecast of one share and the mean of many (MOEX-LIQ-01).

clip(1 − (spread_rel / 0.001 + atr5_rel / 0.01) / 2, 0, 1), in ppm, exact and rounded down.  A spread or a range that is
not known makes no forecast, never a good one.  Pure; called by whoever shows or publishes it.
"""

import numpy as np
from numba import njit

from marketdata.core.units import PPM

NO_FORECAST = -1
SPREAD_SCALE, RANGE_SCALE = 1_000, 100  # 1 / 0.001 and 1 / 0.01


@njit(cache=True)
def forecast_ppm(bid_tick: int, ask_tick: int, range_half_ticks: int, ranges: int) -> int:
    """Forecast of one instrument, ppm; NO_FORECAST without a two-sided book or without a range.

    `range_half_ticks`: the sum of `ranges` true ranges in half ticks (`watch.shares.measured`).
    """
    if not 0 < bid_tick < ask_tick or ranges <= 0 or range_half_ticks < 0:
        return NO_FORECAST
    # with m = twice the mid: spread_rel = 2 x spread / m, atr5_rel = range_half_ticks / (ranges x m)
    whole = 2 * ranges * (bid_tick + ask_tick)
    lost = 2 * SPREAD_SCALE * (ask_tick - bid_tick) * ranges + RANGE_SCALE * range_half_ticks
    if lost >= whole:
        return 0
    return (whole - lost) * PPM // whole


@njit(cache=True)
def mean_ppm(forecasts: np.ndarray) -> int:
    """Mean of the (n,) int64 forecasts that are known, rounded down; NO_FORECAST when none is."""
    total, known = 0, 0
    for i in range(forecasts.shape[0]):
        if forecasts[i] != NO_FORECAST:
            total += forecasts[i]
            known += 1
    return total // known if known > 0 else NO_FORECAST
