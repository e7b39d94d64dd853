"""A stretch of bars booked at once: into the grid of the breakers and into the window of P-11, as one by one.

Every bar of a stretch is plain: whole rows behind the one before it, its close a mark within its range.
Then a row without a print changes no minute's range, and rows are counted by the clock.  Nothing here asks whether
anything is due: who calls it has made sure that nothing is.  Called by `glide`.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.units import TICK_MAX
from risk.core.breakers import true_range
from risk.core.stops import ATR_ROWS
from trading.core.history.records import Columns
from trading.core.records import MOVE_PARTS
from trading.core.watch.moves import part_end_ns


class Seen(NamedTuple):
    """What some bars span in ticks, and what was traded in them."""

    low: int
    high: int
    volume: int


@inner
def survey(
    columns: Columns, first: int, last: int, end_ns: int, limit_ns: int, contract: int, bar_ns: int
) -> tuple[bool, Seen]:
    """Whether all of these bars are plain, of one contract, behind `end_ns` and before `limit_ns`; what they are.

    Of the first loop no answer is the end: so the compiler asks it of many bars at once.  The second has four columns
    of one array to read, which is faster bar by bar.
    """
    starts, ticks = columns.start_ns[first:last], columns.ticks[first:last]
    volumes, contracts = columns.volume[first:last], columns.contract[first:last]
    count = starts.shape[0]
    width, share = float(bar_ns), 1.0 / bar_ns
    silence_ns = starts[0] - end_ns
    off = (silence_ns < 0) | (silence_ns % bar_ns != 0) | (starts[count - 1] >= limit_ns)
    for k in range(count - 1):
        at = np.uint64(k)  # no place before the first: nothing to look for from the end
        silence_ns = starts[at + np.uint64(1)] - starts[at] - bar_ns
        off |= (silence_ns < 0) | (np.floor(silence_ns * share + 0.5) * width != silence_ns)  # of whole rows
    low, high, volume, k = ticks[0, 2], ticks[0, 1], 0, 0
    while k < count:
        at = np.uint64(k)
        top, bottom, close = ticks[at, 1], ticks[at, 2], ticks[at, 3]
        if (close > top) | (close < bottom) | (contracts[at] != contract):
            break
        low, high = min(low, bottom), max(high, top)
        volume += volumes[at]
        k += 1
    return not off and k == count and low > 0 and high <= TICK_MAX, Seen(low, high, volume)


@inner
def take_rows(g: np.record, columns: Columns, first: int, last: int, bar_ns: int, seen: Seen) -> None:
    """Bars `first` … `last` − 1, all of the grid's minute, as `breakers.take_bar` does it one by one.

    True ranges are kept of the last ATR_ROWS bars alone: those of the rows before are overwritten by then.
    """
    starts, ticks = columns.start_ns[first:last], columns.ticks[first:last]
    count = starts.shape[0]
    if starts[0] > g.end_ns:  # rows without a print repeat the close, be it one of the minute before
        g.high_tick, g.low_tick = max(g.high_tick, g.close_tick), min(g.low_tick, g.close_tick)
    g.high_tick, g.low_tick = max(g.high_tick, seen.high), min(g.low_tick, seen.low)
    g.volume += seen.volume
    end_ns, close = g.end_ns, g.close_tick
    kept = max(0, count - ATR_ROWS)
    if kept > 0:
        end_ns, close = starts[kept - 1] + bar_ns, ticks[kept - 1, 3]
        g.rows += (end_ns - g.end_ns) // bar_ns
    place, total, rows = g.rows % ATR_ROWS, g.tr_sum, g.rows
    for k in range(kept, count):
        while end_ns < starts[k]:
            place, total = _keep_range(g, place, total, 0)
            rows += 1
            end_ns += bar_ns
        place, total = _keep_range(g, place, total, true_range(ticks[k, 1], ticks[k, 2], close))
        rows += 1
        end_ns += bar_ns
        close = ticks[k, 3]
    g.rows, g.tr_sum, g.close_tick = rows, total, close
    g.end_ns = end_ns
    g.print_ns = end_ns


@inner
def carry_rows(g: np.record, until_ns: int, bar_ns: int) -> None:
    """Rows without a print into the grid's minute, up to a moment."""
    if g.end_ns >= until_ns:
        return
    place, total = g.rows % ATR_ROWS, g.tr_sum
    while g.end_ns < until_ns:
        place, total = _keep_range(g, place, total, 0)
        g.rows += 1
        g.end_ns += bar_ns
    g.tr_sum = total
    g.high_tick = max(g.high_tick, g.close_tick)
    g.low_tick = min(g.low_tick, g.close_tick)


@inner
def _keep_range(g: np.record, at: int, total: int, height: int) -> tuple[int, int]:
    """One true range into the full ring at its place, instead of the oldest.  Returns the next place and the sum."""
    total += height - g.tr[at]
    g.tr[at] = height
    return (at + 1 if at + 1 < ATR_ROWS else 0), total


@inner
def tell_marks(p: np.record, limits: np.record, columns: Columns, first: int, last: int, bar_ns: int) -> None:
    """Closes of bars `first` … `last` − 1 as marks, into the window of P-11 as `moves.note_move` does it one by one.

    Only the parts that the window still has behind the last mark are written, each of them once.
    """
    if last == first:
        return
    starts, ticks = columns.start_ns[first:last], columns.ticks[first:last]
    count = starts.shape[0]
    part_ns = part_end_ns(p, limits) - p.move_ts_ns
    # parts that begin with these marks: none where the clock has gone back behind the newest one
    passed = max(0, (starts[count - 1] + bar_ns - p.move_ts_ns) // part_ns)
    k, before = 0, p.move_tick
    if passed > MOVE_PARTS:
        place = MOVE_PARTS
        ends_ns = p.move_ts_ns + (passed - MOVE_PARTS) * part_ns  # here the oldest part that is kept begins
        k = first_from(starts, 0, count, ends_ns - bar_ns)
        if k > 0:
            before = ticks[k - 1, 3]
        low, high = before, before
        ends_ns += part_ns
    else:
        place, ends_ns = passed, p.move_ts_ns + part_ns
        for at in range(MOVE_PARTS, passed - 1, -1):
            p.part_low_tick[at] = p.part_low_tick[at - passed]
            p.part_high_tick[at] = p.part_high_tick[at - passed]
        low, high = p.part_low_tick[place], p.part_high_tick[place]
    while k < count:
        while starts[k] + bar_ns >= ends_ns:  # a part begins at the mark before it
            p.part_low_tick[place], p.part_high_tick[place] = low, high
            low, high = before, before
            place -= 1
            ends_ns += part_ns
        before = ticks[k, 3]
        low, high = min(low, before), max(high, before)
        k += 1
    p.part_low_tick[0], p.part_high_tick[0] = low, high
    for at in range(1, MOVE_PARTS + 1):
        low, high = min(low, p.part_low_tick[at]), max(high, p.part_high_tick[at])
    p.move_low_tick, p.move_high_tick = low, high
    p.move_ts_ns += passed * part_ns
    p.move_tick = before
    p.mark_tick = before


@inner
def first_from(starts: np.ndarray, first: int, last: int, ns: int) -> int:
    """Index of the first of these bars, in order, that starts at a moment or behind it; `last`: none does."""
    part = starts[first:last]
    count = 0
    for k in range(part.shape[0]):
        count += part[np.uint64(k)] < ns
    return first + count
