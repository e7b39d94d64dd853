"""Trades → bars of n seconds, streaming: the same bars live, from a journal and from a stored tape.

MES-LIVE-03: bars come from the sizes of single trades by trade time; a second closes at the first trade of a later
one or when the clock reaches its end plus a grace; a trade of a closed second is late: counted and left out.
MES-DATA-20: a second without a trade is carried (o = h = l = c = last close, volume 0, FLAG_CARRIED) up to a limit
after the last print.  It knows no session: who calls it resets the state where a segment ends.  Called by
`core.simulation` and whoever has trades.
"""

import numpy as np
from numba import njit

from marketdata.core.records import BAR, FLAG_CARRIED, NO_TICK, NO_TIME, TRADE

GRACE_NS = 250_000_000  # MES-LIVE-03
CARRY_NS = 300_000_000_000  # MES-DATA-20

BAR_STATE = np.dtype(
    (
        np.record,
        [
            ("start_ns", "<i8"),  # the bar in progress; NO_TIME: none yet
            ("open_tick", "<i8"),  # NO_TICK: no print in it so far
            ("high_tick", "<i8"),
            ("low_tick", "<i8"),
            ("close_tick", "<i8"),  # last print ever: what a carried bar repeats
            ("volume", "<i8"),
            ("print_ns", "<i8"),  # start of the last bar that had a print
            ("late", "<i8"),  # trades that were left out
        ],
    )
)


def new_bars(n: int) -> np.ndarray:
    """(n,) BAR_STATE: no bar in progress."""
    state = np.zeros(n, BAR_STATE)
    for i in range(n):
        reset_bars(state, i)
        state[i].late = 0
    return state


@njit(cache=True)
def reset_bars(state: np.ndarray, i: int) -> None:
    """A new segment (session, gap): nothing is carried over its border.  The count of late trades stays."""
    state[i].start_ns = NO_TIME
    state[i].print_ns = NO_TIME
    state[i].open_tick = NO_TICK
    state[i].close_tick = NO_TICK
    state[i].volume = 0


@njit(cache=True)
def _write_bar(state: np.ndarray, i: int, bar_ns: int, known_ns: int, out: np.ndarray, at: int) -> None:
    bar = state[i]
    event = out[at]
    end = bar.start_ns + bar_ns
    event.kind = BAR
    event.instrument = i
    event.ts_venue_ns = end
    event.ts_ns = max(end, known_ns)
    event.price_tick = bar.close_tick
    event.close_tick = bar.close_tick
    event.value = bar_ns
    if bar.open_tick == NO_TICK:
        event["flags"] = FLAG_CARRIED
        event.open_tick = bar.close_tick
        event.high_tick = bar.close_tick
        event.low_tick = bar.close_tick
        event.volume = 0
    else:
        event["flags"] = 0
        event.open_tick = bar.open_tick
        event.high_tick = bar.high_tick
        event.low_tick = bar.low_tick
        event.volume = bar.volume


@njit(cache=True)
def close_until(state: np.ndarray, i: int, until_ns: int, bar_ns: int, known_ns: int, out: np.ndarray, at: int) -> int:
    """Close every bar of instrument `i` that ends by `until_ns`; returns the next free index of `out` (fresh EVENTs).

    `known_ns` is the time at which this is known.  Stops when `out` is full: call again with room.
    """
    bar = state[i]
    while bar.start_ns != NO_TIME and bar.start_ns + bar_ns <= until_ns:
        if bar.open_tick == NO_TICK and bar.start_ns - bar.print_ns > CARRY_NS:
            # off the grid: the next print starts anew, and nothing before this moment can still be a bar
            bar.start_ns = until_ns - until_ns % bar_ns
            return at
        if at == out.size:
            return at
        _write_bar(state, i, bar_ns, known_ns, out, at)
        at += 1
        bar.start_ns += bar_ns
        bar.open_tick = NO_TICK
        bar.volume = 0
    return at


@njit(cache=True)
def close_at_timer(state: np.ndarray, i: int, now_ns: int, bar_ns: int, out: np.ndarray, at: int) -> int:
    """The clock says `now_ns`: bars whose end plus GRACE_NS has come are closed.  As `close_until`."""
    return close_until(state, i, now_ns - GRACE_NS, bar_ns, now_ns, out, at)


@njit(cache=True)
def add_trade(state: np.ndarray, i: int, ts_ns: int, tick: int, qty: int, bar_ns: int) -> int:
    """Count a trade into the bar of its time, once `close_until(.., ts_ns, ..)` has closed the bars before it.

    Returns 1, or 0 for a late trade.
    """
    bar = state[i]
    start = ts_ns - ts_ns % bar_ns
    if bar.start_ns != NO_TIME and start < bar.start_ns:
        bar.late += 1
        return 0
    assert bar.start_ns == NO_TIME or start == bar.start_ns
    bar.start_ns = start
    if bar.open_tick == NO_TICK:
        bar.open_tick = tick
        bar.high_tick = tick
        bar.low_tick = tick
        bar.volume = 0
    bar.high_tick = max(bar.high_tick, tick)
    bar.low_tick = min(bar.low_tick, tick)
    bar.close_tick = tick
    bar.volume += qty
    bar.print_ns = start
    return 1


@njit(cache=True)
def bars_of(state: np.ndarray, events: np.ndarray, first: int, bar_ns: int, out: np.ndarray) -> tuple[int, int]:
    """TRADEs of `events` from index `first` on → bars in `out`, each at the first trade of a later bar.

    Returns (index of the next event, bars written); the next index is below events.size when `out` was full.
    """
    at = 0
    for k in range(first, events.size):
        event = events[k]
        if event.kind != TRADE:
            continue
        i = event.instrument
        at = close_until(state, i, event.ts_venue_ns, bar_ns, event.ts_ns, out, at)
        bar = state[i]
        if bar.start_ns != NO_TIME and bar.start_ns + bar_ns <= event.ts_venue_ns:
            return k, at
        add_trade(state, i, event.ts_venue_ns, event.price_tick, event.qty, bar_ns)
    return events.size, at
