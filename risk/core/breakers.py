"""What the grid of one instrument says about the market: ATR, minute volume, swings, and whether they are shocks.

A GRID record takes completed bars in order (1-second rows of MES-DATA-20, or coarser bars as they come) and keeps
rings of integers only: Σ14 TR, the minute's volume, the last 20 samples of each, the last 20 one-minute highs and lows.
Evaluation is MES-BREAK-02's, exact and without the present window in its own "normal".  Called by the kernel per bar.
"""

import numpy as np
from numba import njit

from marketdata.core.records import NO_TICK, NO_TIME
from risk.core.records import UNKNOWN
from risk.core.stops import ATR_ROWS, SWING_BARS

MINUTE_NS = 60_000_000_000
CARRY_NS = 300_000_000_000  # MES-DATA-20
SAMPLES, SAMPLES_MIN = 20, 5
ATR_TIMES, VOLUME_PART = 3, 10  # VOLATILITY above 3 x normal, VOLUME below a tenth of it

GRID = np.dtype(
    (
        np.record,
        [
            ("end_ns", "<i8"),  # end of the last row; NO_TIME outside a segment
            ("print_ns", "<i8"),  # end of the last printed row
            ("close_tick", "<i8"),
            ("tr", "<i8", (ATR_ROWS,)),  # true ranges, a ring
            ("rows", "<i8"),  # of this segment
            ("tr_sum", "<i8"),
            ("minute", "<i8"),  # of the last row
            ("volume", "<i8"),  # of that minute so far
            ("full", "<i8"),  # 1: the segment stood on the grid since that minute's start
            ("high_tick", "<i8"),
            ("low_tick", "<i8"),
            ("atr_samples", "<i8", (SAMPLES,)),  # Σ14 TR at minute boundaries
            ("atr_count", "<i8"),
            ("atr_gone", "<i8"),  # the sample whose place the newest one took
            ("volume_samples", "<i8", (SAMPLES,)),
            ("volume_count", "<i8"),
            ("highs", "<i8", (SWING_BARS,)),  # completed one-minute bars, a ring
            ("lows", "<i8", (SWING_BARS,)),
            ("minutes", "<i8"),  # completed ones
            ("volatile", "<i8"),  # 1: VOLATILITY at the last evaluation
            ("quiet", "<i8"),  # 1: VOLUME
        ],
    )
)


@njit(cache=True)
def new_segment(g: np.record) -> None:
    """Forget everything: no value ever spans two segments (MES-DATA-21)."""
    g.end_ns = NO_TIME
    g.print_ns = NO_TIME
    g.close_tick = NO_TICK
    g.rows = 0
    g.tr_sum = 0
    g.atr_count = 0
    g.volume_count = 0
    g.minutes = 0
    g.volatile = 0
    g.quiet = 0


@njit(cache=True)
def atr_sum(g: np.record) -> int:
    """Σ14 TR in ticks; UNKNOWN before 14 rows."""
    return g.tr_sum if g.rows >= ATR_ROWS else UNKNOWN


@njit(cache=True)
def take_bar(g: np.record, start_ns: int, end_ns: int, high: int, low: int, close: int, volume: int, carried: bool):
    """One completed bar.  Returns True when a minute boundary was passed, so `volatile` and `quiet` may have changed.

    Seconds that were left out within the carry limit are carried here; a longer silence starts a new segment.
    """
    passed = False
    if g.end_ns != NO_TIME and start_ns < g.end_ns:
        return False  # late or repeated
    size = end_ns - start_ns
    if g.end_ns != NO_TIME and (start_ns - g.print_ns >= CARRY_NS or size <= 0):
        passed = g.volatile + g.quiet > 0
        new_segment(g)
    if g.end_ns != NO_TIME and size < MINUTE_NS:
        while g.end_ns + size <= start_ns:
            last = g.close_tick
            passed |= _row(g, g.end_ns, g.end_ns + size, last, last, last, 0)
    passed |= _row(g, start_ns, end_ns, high, low, close, volume)
    if not carried:
        g.print_ns = end_ns
    return passed


@njit(cache=True)
def _row(g: np.record, start_ns: int, end_ns: int, high: int, low: int, close: int, volume: int) -> bool:
    passed = False
    minute = start_ns // MINUTE_NS
    if g.end_ns == NO_TIME:
        g.minute = minute
        g.volume = 0
        g.full = 1 if start_ns % MINUTE_NS == 0 else 0
        g.high_tick = high
        g.low_tick = low
        g.print_ns = end_ns
    elif minute != g.minute:
        volatile, quiet = shocks(g)
        turn_minute(g, minute, high, low, volatile, quiet)
        passed = True
    height = high - low if g.close_tick == NO_TICK else true_range(high, low, g.close_tick)
    at = g.rows % ATR_ROWS
    if g.rows >= ATR_ROWS:
        g.tr_sum -= g.tr[at]
    g.tr[at] = height
    g.tr_sum += height
    g.rows += 1
    g.volume += volume
    g.high_tick = max(g.high_tick, high)
    g.low_tick = min(g.low_tick, low)
    g.close_tick = close
    g.end_ns = end_ns
    return passed


@njit(cache=True)
def true_range(high: int, low: int, before: int) -> int:
    """Of one row after a close `before`, in ticks: from the lowest to the highest price, the gap in it."""
    return max(high - low, abs(high - before), abs(low - before))


@njit(cache=True)
def shocks(g: np.record) -> tuple[int, int]:
    """(volatile, quiet) of the minute in progress, if it ended now: compared with the samples before it."""
    volatile, quiet = 0, 0
    if g.full != 1:
        return volatile, quiet
    count = min(g.atr_count, SAMPLES)
    if count >= SAMPLES_MIN and g.rows >= ATR_ROWS and g.tr_sum >= ATR_ROWS:
        normal = 0
        for i in range(count):
            normal += g.atr_samples[i]
        volatile = 1 if count * g.tr_sum > ATR_TIMES * normal else 0
    count = min(g.volume_count, SAMPLES)
    if count >= SAMPLES_MIN:
        normal = 0
        for i in range(count):
            normal += g.volume_samples[i]
        quiet = 1 if VOLUME_PART * count * g.volume < normal else 0
    return volatile, quiet


@njit(cache=True)
def turn_minute(g: np.record, minute: int, high: int, low: int, volatile: int, quiet: int) -> None:
    """A minute ended, and `shocks` said this of it: keep its bar, make it one of the samples, begin `minute` with a
    first row of this range."""
    at = g.minutes % SWING_BARS
    g.highs[at] = g.high_tick
    g.lows[at] = g.low_tick
    g.minutes += 1
    g.volatile = volatile
    g.quiet = quiet
    if g.full == 1:
        if g.rows >= ATR_ROWS:
            at = g.atr_count % SAMPLES
            g.atr_gone = g.atr_samples[at]
            g.atr_samples[at] = g.tr_sum
            g.atr_count += 1
        g.volume_samples[g.volume_count % SAMPLES] = g.volume
        g.volume_count += 1
    g.minute = minute
    g.volume = 0
    g.full = 1
    g.high_tick = high
    g.low_tick = low


@njit(cache=True)
def evaluated(g: np.record) -> tuple[int, int, int]:
    """(Σ14 TR, Σ of the samples before it, how many) of the last minute that was evaluated; (0, 0, 0): none yet.

    What MES-COST-06 measures by: the exact ratio of the two, without VOLATILITY's floor of a tick.
    """
    count = min(g.atr_count - 1, SAMPLES)
    if count < SAMPLES_MIN:
        return 0, 0, 0
    newest = g.atr_samples[(g.atr_count - 1) % SAMPLES]
    normal = g.atr_gone - newest if g.atr_count > SAMPLES else -newest
    for i in range(min(g.atr_count, SAMPLES)):
        normal += g.atr_samples[i]
    return newest, normal, count


@njit(cache=True)
def pass_time(g: np.record, at_ns: int, size_ns: int) -> None:
    """The minutes that have ended by `at_ns`, before any row that starts then: each is evaluated as by that row.

    Seconds without a print are carried as far as the segment reaches; `size_ns` of a row, 0: they are told.
    """
    if g.end_ns == NO_TIME:
        return
    if 0 < size_ns < MINUTE_NS:
        last_ns = min(at_ns, g.print_ns + CARRY_NS)
        while g.end_ns + size_ns <= last_ns:
            _row(g, g.end_ns, g.end_ns + size_ns, g.close_tick, g.close_tick, g.close_tick, 0)
    ends_ns = (g.minute + 1) * MINUTE_NS
    if g.end_ns >= ends_ns and at_ns >= ends_ns:
        volatile, quiet = shocks(g)
        turn_minute(g, g.minute + 1, g.close_tick, g.close_tick, volatile, quiet)


@njit(cache=True)
def swings(g: np.record, highs: np.ndarray, lows: np.ndarray) -> int:
    """Copy the completed one-minute bars, oldest first, into (SWING_BARS,) arrays; returns how many."""
    count = min(g.minutes, SWING_BARS)
    for i in range(count):
        at = (g.minutes - count + i) % SWING_BARS
        highs[i] = g.highs[at]
        lows[i] = g.lows[at]
    return count
