"""The common work in plain Python: what the trade lists of the peers are compared with, beside the desk's.

Within a bar: close at the open what must go, or enter at the open a tick worse; then the stop, worse by a gap and a
tick; then the target, at its price.  At the bar's end the decision: without a position an entry, against one its end at
the next open (MES-REV-01).  Called by `sidebyside` and by tests.
"""

import numpy as np

from desk.ops.bench.peers.work import SLIP_TICKS, STOP_TICKS, TARGET_TICKS, DayRules, Trip, Work, trip_rows


def reference_trips(work: Work, limited: bool) -> np.ndarray:
    """(n, 5) int64 rows of `Trip`.  `limited`: with the limit of the day and the pause."""
    rules = DayRules(work, limited)
    trips: list[Trip] = []
    held = pending = entry = entered_ns = 0
    leaving = False

    def leave(tick: int, at_ns: int) -> None:
        trips.append(Trip(entered_ns, at_ns, held, entry, tick))
        rules.closed((tick - entry) * held, at_ns)

    columns = (work.start_ns, *work.ticks.T, work.side, work.flat, work.day)
    for start_ns, opened, high, low, _, side, flat, day in zip(*(column.tolist() for column in columns), strict=True):
        rules.begin(day)
        if held and (flat or leaving):
            leave(opened - SLIP_TICKS * held, start_ns)
            held, leaving = 0, False
        if pending and not flat:
            held, entry, entered_ns = pending, opened + SLIP_TICKS * pending, start_ns
        pending = 0
        if held and (tick := _bracketed(held, entry, opened, high, low)) is not None:
            leave(tick, start_ns)
            held = 0
        if held:
            leaving = side == -held
        elif side and rules.may_enter(start_ns):
            pending = side
    return trip_rows(trips)


def _bracketed(held: int, entry: int, opened: int, high: int, low: int) -> int | None:
    """The tick at which stop or target end a position within a bar; None: they do not."""
    stop, target = entry - STOP_TICKS * held, entry + TARGET_TICKS * held
    worst, best = (low, high) if held > 0 else (-high, -low)
    if worst <= stop * held:
        return min(opened * held, stop * held) * held - SLIP_TICKS * held
    return target if best >= target * held else None
