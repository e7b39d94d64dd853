"""Verdicts on what the market data says: is this book, bar or time fit to be used?

Pure tests on integers, in the order of MES-DATA-03; the callers decide what follows (a flag, a dropped row that is
counted, a refused file).  Called by `core.depth` and `feeds.tabular`; it never repairs anything.
"""

import numpy as np
from numba import njit

from marketdata.core.records import NO_TICK
from marketdata.core.units import TICK_MAX

# verdicts; the number is the rule of MES-DATA-03 where there is one
GOOD, MISSING, NOT_POSITIVE, OFF_GRID, BAD_OHLC, OFF_SECOND, REPEATED, CONFLICT, OUT_OF_ORDER, OUTSIDE_SESSION = range(
    10
)
CROSSED, ONE_SIDED, OUT_OF_RANGE, OTHER_CONTRACT = 20, 21, 22, 23
VERDICTS = {
    MISSING: "a field is missing or not finite",
    NOT_POSITIVE: "a price is not positive or the volume is negative",
    OFF_GRID: "a price is off the tick grid",
    BAD_OHLC: "open or close lies outside low to high",
    OFF_SECOND: "the bar does not start on a whole bar length",
    REPEATED: "the same row was there before",
    CONFLICT: "two different rows have the same time",
    OUT_OF_ORDER: "the time is earlier than that of the row before",
    OUTSIDE_SESSION: "the bar lies outside the exchange's session",
    CROSSED: "the best bid is at or above the best ask",
    ONE_SIDED: "one side of the book is empty",
    OUT_OF_RANGE: "a price or volume is beyond what the desk carries",
    OTHER_CONTRACT: "the row is of another contract",
}
VOLUME_MAX = 2**53


@njit(cache=True)
def book_verdict(bid_tick: int, ask_tick: int) -> int:
    """GOOD, ONE_SIDED or CROSSED (locked counts as crossed: no order could be priced from it)."""
    if bid_tick == NO_TICK or ask_tick == NO_TICK:
        return ONE_SIDED
    if bid_tick >= ask_tick:
        return CROSSED
    return GOOD


@njit(cache=True)
def nearest_tick(price_nanos: int, tick_nanos: int, slack_nanos: int) -> int:
    """Ticks of a price that is at most `slack_nanos` off the grid; NO_TICK when it is further off (MES-DATA-03, 3)."""
    ticks = (price_nanos + tick_nanos // 2) // tick_nanos
    if abs(price_nanos - ticks * tick_nanos) > slack_nanos:
        return NO_TICK
    return ticks


@njit(cache=True)
def bar_verdicts(
    start_ns: np.ndarray,
    prices: np.ndarray,
    volume: np.ndarray,
    tick_nanos: int,
    slack_nanos: int,
    bar_ns: int,
    ticks: np.ndarray,
    verdicts: np.ndarray,
) -> None:
    """Rules 1 to 5 for n bars: `prices` (n, 4) open, high, low, close in 1e-9 units (NO_TICK = missing), `volume` (n,)
    (negative below −1 never comes from a parser; NO_TICK = missing) → `ticks` (n, 4), `verdicts` (n,)."""
    for i in range(start_ns.size):
        verdict = GOOD
        for k in range(4):
            if prices[i, k] == NO_TICK:
                verdict = MISSING
        if volume[i] == NO_TICK or start_ns[i] == NO_TICK:
            verdict = MISSING
        if verdict == GOOD:
            for k in range(4):
                if prices[i, k] <= 0:
                    verdict = NOT_POSITIVE
            if volume[i] < 0:
                verdict = NOT_POSITIVE
        if verdict == GOOD:
            for k in range(4):
                ticks[i, k] = nearest_tick(prices[i, k], tick_nanos, slack_nanos)
                if ticks[i, k] == NO_TICK:
                    verdict = OFF_GRID
                elif verdict == GOOD and (ticks[i, k] > TICK_MAX or volume[i] > VOLUME_MAX):
                    verdict = OUT_OF_RANGE
        if verdict == GOOD:
            high, low = ticks[i, 1], ticks[i, 2]
            if not (low <= ticks[i, 0] <= high and low <= ticks[i, 3] <= high):
                verdict = BAD_OHLC
            elif start_ns[i] % bar_ns != 0:
                verdict = OFF_SECOND
        verdicts[i] = verdict


@njit(cache=True)
def order_verdicts(
    start_ns: np.ndarray,
    ticks: np.ndarray,
    volume: np.ndarray,
    contract: np.ndarray,
    last: np.ndarray,
    verdicts: np.ndarray,
) -> None:
    """Rules 6 to 8 among the rows that are still GOOD.  `last` (7,) int64 carries time, prices, volume and contract of
    the last good row over the borders of chunks; its time is NO_TICK before the first."""
    for i in range(start_ns.size):
        if verdicts[i] != GOOD:
            continue
        if last[0] != NO_TICK and start_ns[i] < last[0]:
            verdicts[i] = OUT_OF_ORDER
            continue
        if start_ns[i] == last[0]:
            same = volume[i] == last[5] and contract[i] == last[6]
            for k in range(4):
                same = same and ticks[i, k] == last[1 + k]
            verdicts[i] = REPEATED if same else CONFLICT
            continue
        last[0] = start_ns[i]
        for k in range(4):
            last[1 + k] = ticks[i, k]
        last[5] = volume[i]
        last[6] = contract[i]
