"""Liquidity forecasts of a session's shares, from what the kernel remembers of their books and ranges (MOEX-LIQ-01).

It decides nothing and the step never asks it: whoever shows a session does, once a second.  The formula is
`risk.core.shares.liquidity`.
"""

import numpy as np
from numba import njit

from risk.core.shares.liquidity import NO_FORECAST, forecast_ppm, mean_ppm
from trading.core.watch.routes import BOOK_AGE_NS_MAX
from trading.core.watch.shares import measured


@njit(cache=True)
def forecasts(positions: np.ndarray, specs: np.ndarray, now_ns: int, out: np.ndarray) -> int:
    """Write each instrument's forecast, ppm, to out (n,) int64 and return the mean of those that are known.

    NO_FORECAST without a valid book of the last second or without a range; a hedge is no part of it.
    """
    for i in range(out.shape[0]):
        p = positions[i]
        out[i] = NO_FORECAST
        if specs[i].hedge != 1 and p.book_ok == 1 and now_ns - p.quote_ts_ns <= BOOK_AGE_NS_MAX:
            total, count = measured(p)
            out[i] = forecast_ppm(p.bid_tick, p.ask_tick, total, count)
    return mean_ppm(out)
