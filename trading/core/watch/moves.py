"""P-11: how far the price has moved within the last window, never blind to a move at the window's edge.

The window slides by eighths and keeps one eighth more: it spans `move_window_ns` at least, an eighth more at most.  A
mark stands until the next one, so a jump after a silence is seen too.  Records alone, no arrays of them: the hot path
of every mark.  Called by `market` for every mark, and by the gate's form for every entry.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK
from risk.core.records import UNKNOWN
from trading.core.records import MOVE_PARTS


@inner
def price_move(p: np.record) -> int:
    """Ticks between the mark and the farthest mark of the window; UNKNOWN before the first mark."""
    if p.move_tick == NO_TICK:
        return UNKNOWN
    return farthest(p.mark_tick, p.move_low_tick, p.move_high_tick)


@inner
def farthest(mark: int, low: int, high: int) -> int:
    """Ticks between a mark and the farthest one of a window that spans these."""
    return max(mark - low, high - mark)


@inner
def note_move(p: np.record, limits: np.record, now_ns: int) -> bool:
    """Note a known mark.  Returns True when it is too far from any mark of the last window."""
    mark = p.mark_tick
    part_ns = _part_ns(limits)
    if p.move_tick == NO_TICK:
        _slide(p, mark, MOVE_PARTS + 1)
        p.move_ts_ns = now_ns
    elif now_ns - p.move_ts_ns >= part_ns:
        passed = (now_ns - p.move_ts_ns) // part_ns
        _slide(p, p.move_tick, min(passed, MOVE_PARTS + 1))
        p.move_ts_ns += passed * part_ns
    note_together(p, mark, mark, mark)
    return price_move(p) > limits.move_ticks_max


@inner
def note_together(p: np.record, low: int, high: int, last: int) -> None:
    """Note marks of the newest part at once: the lowest, the highest, the last of them."""
    p.move_tick = last
    p.part_low_tick[0] = min(p.part_low_tick[0], low)
    p.part_high_tick[0] = max(p.part_high_tick[0], high)
    p.move_low_tick = min(p.move_low_tick, low)
    p.move_high_tick = max(p.move_high_tick, high)


@inner
def part_end_ns(p: np.record, limits: np.record) -> int:
    """A mark before this moment belongs to the newest part; the next one begins a new part and slides the window."""
    return p.move_ts_ns + _part_ns(limits)


@inner
def _part_ns(limits: np.record) -> int:
    return max(1, limits.move_window_ns // MOVE_PARTS)


@inner
def _slide(p: np.record, tick: int, passed: int) -> None:
    """Forget `passed` parts of the window, nearly always one; the new ones begin at `tick`."""
    for _ in range(passed):
        low, high = tick, tick
        for k in range(MOVE_PARTS):  # of a known number: the compiler writes them out
            at = MOVE_PARTS - k
            p.part_low_tick[at] = p.part_low_tick[at - 1]
            p.part_high_tick[at] = p.part_high_tick[at - 1]
            low = min(low, p.part_low_tick[at])
            high = max(high, p.part_high_tick[at])
        p.part_low_tick[0] = tick
        p.part_high_tick[0] = tick
        p.move_low_tick = low
        p.move_high_tick = high
