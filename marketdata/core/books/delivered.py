"""Books that a venue delivers whole, 0 to 50 levels a side → DEPTH records, by the rules of MOEX-DATA-03.

A book older by the venue's time than the last accepted one is dropped.  Every other is accepted: levels without price
or quantity are removed, the rest is sorted best first, equal prices are merged, the best 20 stay.  It is VALID when it
has two sides, best bid < best ask, both sides came sorted, and the venue calls it consistent; else it is flagged.
"""

import numpy as np
from numba import njit

from marketdata.core.books.verdicts import INCONSISTENT, UNBOUNDED, UNSORTED, side_faults
from marketdata.core.compiled import inlined
from marketdata.core.records import FLAG_INVALID, LEVELS, NO_TIME

DELIVERED_MAX = 50  # levels a side
DROPPED = -1  # older than the last accepted book: nothing was written
LOTS_MAX = 1 << 28  # of one delivered level: 50 of them merged stay within what features carry
TICK_MAX = 1 << 24


@inlined
def _insert(ticks: np.ndarray, qtys: np.ndarray, count: int, tick: int, qty: int, sign: int) -> int:
    """Put a level among the `count` best ones, or add it to its price; returns the new count.  The worst may fall off:
    no level that comes later could bring it back, for twenty better ones stay."""
    at = count
    while at > 0 and sign * ticks[at - 1] < sign * tick:
        at -= 1
    if at > 0 and ticks[at - 1] == tick:
        qtys[at - 1] += qty
        return count
    if at == LEVELS:
        return count
    for i in range(min(count, LEVELS - 1), at, -1):
        ticks[i] = ticks[i - 1]
        qtys[i] = qtys[i - 1]
    ticks[at] = tick
    qtys[at] = qty
    return min(count + 1, LEVELS)


@inlined
def _side(ticks: np.ndarray, qtys: np.ndarray, sign: int, raw: np.ndarray, given: int) -> int:
    """Levels raw[:given] (tick, qty) of one side into that of a DEPTH; UNSORTED and UNBOUNDED where they apply."""
    faults, count, before = 0, 0, 0
    read = min(given, len(raw), DELIVERED_MAX)
    if read < given:
        faults = UNBOUNDED
    for i in range(read):
        tick, qty = raw[i, 0], raw[i, 1]
        if tick <= 0 or qty <= 0:
            continue
        if tick > TICK_MAX or qty > LOTS_MAX:
            faults |= UNBOUNDED
            continue
        if before != 0 and sign * tick > sign * before:
            faults |= UNSORTED
        before = tick
        count = _insert(ticks, qtys, count, tick, qty, sign)
    return faults


@njit(cache=True)
def accept(
    last_venue_ns: int,
    ts_ns: int,
    venue_ns: int,
    bids: np.ndarray,
    bid_count: int,
    asks: np.ndarray,
    ask_count: int,
    consistent: bool,
    depths: np.ndarray,
    at: int,
) -> int:
    """A delivered book into depths[at], a fresh record.  `bids`, `asks`: (>= count, 2) int64 tick and lots as sent.

    `last_venue_ns`: the venue's stamp of the last accepted book, NO_TIME for none.  Returns DROPPED, or the faults
    (verdicts.FAULTS; 0: VALID): then the book is accepted, with FLAG_INVALID where there are any.
    """
    if last_venue_ns != NO_TIME and venue_ns < last_venue_ns:
        return DROPPED
    depth = depths[at]
    depth.ts_ns = ts_ns
    depth.ts_venue_ns = venue_ns
    faults = _side(depth.bid_tick, depth.bid_qty, 1, bids, bid_count)
    faults |= _side(depth.ask_tick, depth.ask_qty, -1, asks, ask_count)
    faults |= side_faults(depth.bid_tick[0], depth.ask_tick[0])
    if not consistent:
        faults |= INCONSISTENT
    if faults != 0:
        depth["flags"] |= FLAG_INVALID
    return faults
