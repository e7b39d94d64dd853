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
    return max(p.mark_tick - p.move_low_tick, p.move_high_tick - p.mark_tick)


@inner
def note_move(p: np.record, limits: np.record, now_ns: int) -> bool:
    """Note a known mark.  Returns True when it is too far from any mark of the last window."""
    mark = p.mark_tick
    part_ns = max(1, limits.move_window_ns // MOVE_PARTS)
    if p.move_tick == NO_TICK:
        _slide(p, mark, MOVE_PARTS + 1)
        p.move_ts_ns = now_ns
    elif now_ns - p.move_ts_ns >= part_ns:
        passed = (now_ns - p.move_ts_ns) // part_ns
        _slide(p, p.move_tick, min(passed, MOVE_PARTS + 1))
        p.move_ts_ns += passed * part_ns
    p.move_tick = mark
    p.part_low_tick[0] = min(p.part_low_tick[0], mark)
    p.part_high_tick[0] = max(p.part_high_tick[0], mark)
    p.move_low_tick = min(p.move_low_tick, mark)
    p.move_high_tick = max(p.move_high_tick, mark)
    return price_move(p) > limits.move_ticks_max


@inner
def _slide(p: np.record, tick: int, passed: int) -> None:
    """Forget `passed` parts of the window; the new ones begin at `tick`."""
    low, high = tick, tick
    for k in range(MOVE_PARTS, -1, -1):
        p.part_low_tick[k] = p.part_low_tick[k - passed] if k >= passed else tick
        p.part_high_tick[k] = p.part_high_tick[k - passed] if k >= passed else tick
        low = min(low, p.part_low_tick[k])
        high = max(high, p.part_high_tick[k])
    p.move_low_tick = low
    p.move_high_tick = high
