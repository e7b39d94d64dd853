"""The numbers of the simulated market: regimes, sizes, and the exponential distribution as a table of integers.

Rates are per 1000 s and instrument at the usual rate, probabilities in 1/1024.  The table of logarithms is made by
exact decimal arithmetic, not by the C library, so that it is the same on every machine.  Called by `market`, beside it.
"""

from decimal import Decimal

import numpy as np

QUIET, TREND_UP, TREND_DOWN, VOLATILE, THIN = range(5)
REGIMES = ("quiet", "trend up", "trend down", "volatile", "thin")

#                      quiet    up   down  volatile  thin
LIMIT_RATE = np.array([24000, 27000, 27000, 34000, 14000], np.int64)
MARKET_RATE = np.array([4500, 7000, 7000, 10000, 4000], np.int64)
CANCEL_PPM = np.array([45000, 50000, 50000, 80000, 70000], np.int64)  # per order: 45000 = once in 22 s
DRIFT = np.array([0, 450, -450, 0, 0], np.int64)  # where the hidden flow returns to
NOISE = np.array([170, 150, 150, 240, 200], np.int64)  # its largest step, ten times a second
NEAR = np.array([560, 560, 560, 500, 480], np.int64)  # limit orders within two ticks of the touch
CLOSE_SPREAD = np.array([960, 900, 900, 620, 620], np.int64)  # limit orders that improve a spread above one tick
SWEEP = np.array([20, 40, 40, 110, 60], np.int64)  # market orders that take the whole best price
SECONDS_MIN = np.array([8, 10, 10, 6, 6], np.int64)
SECONDS_MAX = np.array([24, 28, 28, 18, 14], np.int64)
NEXT_REGIME = np.array(
    [
        [TREND_UP, TREND_UP, TREND_UP, TREND_DOWN, TREND_DOWN, TREND_DOWN, VOLATILE, THIN],
        [QUIET, QUIET, QUIET, VOLATILE, VOLATILE, THIN, TREND_DOWN, QUIET],
        [QUIET, QUIET, QUIET, VOLATILE, VOLATILE, THIN, TREND_UP, QUIET],
        [QUIET, QUIET, QUIET, QUIET, TREND_UP, TREND_DOWN, THIN, QUIET],
        [QUIET, QUIET, QUIET, QUIET, TREND_UP, TREND_DOWN, VOLATILE, VOLATILE],
    ],
    np.int64,
)
ORDER_SIZES = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 8, 10, 15], np.int64)
TRADE_SIZES = np.array([1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 8, 12], np.int64)


def exponential_gaps(size: int) -> np.ndarray:
    """Quantiles of the exponential distribution with mean 1 at (k + 1/2)/size, in 1/65536, scaled to that mean."""
    raw = [-(Decimal(2 * k + 1) / (2 * size)).ln() for k in range(size)]
    mean = sum(raw, Decimal(0)) / size
    return np.array([int((x / mean * 65536).to_integral_value()) for x in raw], np.int64)


EXP_GAPS = exponential_gaps(1024)
