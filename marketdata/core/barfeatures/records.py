"""The records of the bar features: one trading day's clock, one instrument's state, and the verdicts of a bar.

Everything is an integer but what is an average: seconds UTC since 1970, ticks, contracts.  A state is a plain record:
it can be copied, stored and continued, and the rows after it are the same to the last bit (MES-MEM-08).
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.barfeatures import schema as f
from marketdata.core.barfeatures.schema import FEATURE_COUNT, LABEL_S
from marketdata.core.records import NO_TIME

# One trading day as integers (made by marketdata.calendars.bar_days): sorted, disjoint, one wall-clock offset each.
BAR_DAY = np.dtype(
    (
        np.record,
        [
            ("trading_day", "<i8"),  # YYYYMMDD
            ("weekday", "<i8"),  # of the trading day, Monday 0
            ("open_s", "<i8"),  # session, half-open
            ("close_s", "<i8"),
            ("rth_open_s", "<i8"),  # 09:30 New York, even on a date that closes before
            ("rth_close_s", "<i8"),  # min(16:00, session close)
            ("wall_s", "<i8"),  # New York wall time minus UTC
        ],
    )
)

# a power of two above the longest look-back of each ring
CLOSES, VOLUMES, SHORT, OBVS, RETURNS, BUCKETS, STRIDES = 64, 64, 16, 32, 512, 8, 128
LANES = 20  # side-by-side sums over the longest window of returns

BAR_STATE = np.dtype(
    (
        np.record,
        [
            # the grid
            ("second", "<i8"),  # the newest row; NO_TIME: none yet
            ("print_second", "<i8"),  # the newest row with a print
            ("contract", "<i8"),
            ("segment", "<i8"),  # counts the segments begun
            ("row", "<i8"),  # index of the newest row in its segment
            ("anchor", "<i8"),  # of VWAP and OBV
            ("day", BAR_DAY),
            # the clock: of the trading day's weekday, and of the newest row's minute of the day
            ("dow_sin", "<f8"),
            ("dow_cos", "<f8"),
            ("minute_sin", "<f8"),
            ("minute_cos", "<f8"),
            # averages
            ("close_tick", "<i8"),
            ("ema_9", "<f8"),
            ("ema_12", "<f8"),
            ("ema_21", "<f8"),
            ("ema_26", "<f8"),
            ("ema_50", "<f8"),
            ("ema_200", "<f8"),
            ("macd_signal", "<f8"),
            # window sums, exact
            ("range_14", "<i8"),  # true range
            ("gain_14", "<i8"),
            ("loss_14", "<i8"),
            ("close_20", "<i8"),
            ("square_20", "<i8"),  # c x c
            ("volume_10", "<i8"),
            ("volume_30", "<i8"),
            ("volume_60", "<i8"),
            ("delta_30", "<i8"),  # v sign(c - o)
            # since the anchor
            ("price_volume", "<i8"),  # (h + l + c) v
            ("volume", "<i8"),
            ("obv", "<i8"),
            # the stochastic of this second and the two before
            ("k_0", "<f8"),
            ("k_1", "<f8"),
            ("k_2", "<f8"),
            # closed buckets and what they say; both change at a bucket's first second only
            ("minute_end", "<i8"),  # the second at which the present minute is closed
            ("five_end", "<i8"),
            ("minutes", "<i8"),  # closed in this segment
            ("fives", "<i8"),
            ("trend_1m", "<f8"),
            ("momentum_1m", "<f8"),
            ("vol_1m", "<f8"),
            ("trend_5m", "<f8"),
            ("momentum_5m", "<f8"),
            # rings, by row & (length - 1); two hold each value twice: a window is one piece of memory
            ("minute_ring", "<i8", (BUCKETS,)),
            ("five_ring", "<i8", (BUCKETS,)),
            ("close_ring", "<i8", (CLOSES,)),
            ("log_ring", "<f8", (CLOSES,)),  # ln of the close
            ("volume_ring", "<i8", (VOLUMES,)),
            ("delta_ring", "<i8", (OBVS,)),
            ("range_ring", "<i8", (SHORT,)),
            ("change_ring", "<i8", (SHORT,)),
            ("high_ring", "<i8", (SHORT,)),
            ("low_ring", "<i8", (SHORT,)),
            ("vwap_ring", "<f8", (SHORT,)),
            ("obv_ring", "<i8", (OBVS,)),
            ("returns", "<f8", (2 * RETURNS,)),
            ("stride_sums", "<f8", (2 * STRIDES,)),  # sums of twelve returns LANES apart, by the row of the newest
            ("lanes", "<f8", (3, LANES)),  # scratch of `spread`
            ("below", "<f8", (FEATURE_COUNT,)),  # what each feature of the newest row is divided by; 1: by nothing
        ],
    )
)

# divisors that are the same in every row; what is neither here nor set by `vector` is divided by 1
DIVISORS = {
    f.MINUTES_TO_CLOSE_NORM: f.RTH_S,
    f.VOLATILITY_10S: 9, f.VOLATILITY_30S: 29, f.VOLATILITY_60S: 59, f.VOLATILITY_300S: 299,
    f.RSI_NORM: 50, f.STOCH_K_NORM: 50, f.STOCH_D_NORM: 50,
}  # fmt: skip

# Verdict of a row: COLD and VALID are rows; the others are faults, no row is made and the state stays as it was.
COLD, VALID = 0, 1
LATE, OUTSIDE, BROKEN, CARRY_FIRST, NOT_FINITE = -1, -2, -3, -4, -5
FAULTS = {
    LATE: "not later than the bar before it",
    OUTSIDE: "outside every session of the calendar that was given",
    BROKEN: "not low <= open, close <= high, or a price or volume out of bounds",
    CARRY_FIRST: "seconds before it are still to be carried",
    NOT_FINITE: "a feature of a valid row is not finite",
}

# bits of a row's mark
ROW_VALID, ROW_CARRIED, ROW_SEGMENT = 1, 2, 4

# Bounds that keep every sum inside int64: (h + l + c) v over a session of 86 400 bars stays below 2^63.
TICK_MAX = 1 << 24
VOLUME_MAX = 1 << 20


class Bars(NamedTuple):
    """Printed one-second bars as columns, all (n,) int64 and contiguous."""

    second: np.ndarray  # start, seconds UTC
    open_tick: np.ndarray
    high_tick: np.ndarray
    low_tick: np.ndarray
    close_tick: np.ndarray
    volume: np.ndarray  # contracts
    contract: np.ndarray  # any number that names the contract
    outage: np.ndarray  # 1 on the first print after a feed outage that was not back-filled


class Rows(NamedTuple):
    """Room for n rows, and for their labels and those of the up to LABEL_S rows before."""

    second: np.ndarray  # (n,) int64, start of the second, UTC
    mark: np.ndarray  # (n,) uint8, ROW_ bits
    features: np.ndarray  # (n, 56) float64, NaN in all places of a row that is not valid
    label: np.ndarray  # (n + LABEL_S,) int8, in the order of the rows but LABEL_S later


def new_rows(count: int) -> Rows:
    """Room for `count` rows."""
    return Rows(
        np.empty(count, np.int64),
        np.empty(count, np.uint8),
        np.empty((count, FEATURE_COUNT)),
        np.empty(count + LABEL_S, np.int8),
    )


def new_bar_states(count: int) -> np.ndarray:
    """(count,) BAR_STATE that have seen nothing."""
    states = np.zeros(count, BAR_STATE)
    states["second"] = NO_TIME
    states["below"] = [float(DIVISORS.get(place, 1)) for place in range(FEATURE_COUNT)]
    return states
