"""The live books in bounded room: the current book of each instrument, its last thirty, and what is evicted when.

MOEX-DATA-12 and -03.  The time ring of 640 buckets and the trades live in the book features' state
(`core.bookfeatures.rings`), the candles in MEMBER: each is kept once.  All room is taken at the start; nothing here
grows.  `take_book` is the one way in.  It reads no clock: the age of a book is told by whoever asks.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.bookfeatures.records import BROKEN, OLD, VALID
from marketdata.core.bookfeatures.schema import VOLATILITY
from marketdata.core.bookfeatures.stream import add_book
from marketdata.core.books.verdicts import side_faults
from marketdata.core.compiled import borrowed, inlined
from marketdata.core.records import DEPTH, FLAG_INVALID, NO_TICK, NO_TIME

HISTORY = 30  # books an instrument, exactly
TTL_NS = 60_000_000_000
CACHE_MAX = 50
TOP = 10  # levels of each side that make L
MICROS = 1e6

# columns of Buffers.counts
BY_TTL, BY_SIZE, BY_MEMORY, PINNED_OVER, USES = 0, 1, 2, 3, 4


class Buffers(NamedTuple):
    """Room for the books of n instruments."""

    history: np.ndarray  # (n, HISTORY) DEPTH, by number % HISTORY
    taken: np.ndarray  # (n,) int64: books ever taken since the last clearing
    kept: np.ndarray  # (n,) int64: how many of them are remembered, HISTORY at most
    current: np.ndarray  # (n,) int64: 1 while the newest book is in the current cache
    used: np.ndarray  # (n,) int64: number of its last use; a smaller one was used longer ago
    counts: np.ndarray  # (5,) int64: evictions by cause, CACHE_PINNED reports, uses


def new_buffers(instruments: int) -> Buffers:
    """Empty room for the books of `instruments` instruments: 19.5 KiB each."""
    assert instruments > 0
    return Buffers(
        history=np.zeros((instruments, HISTORY), DEPTH),
        taken=np.zeros(instruments, np.int64),
        kept=np.zeros(instruments, np.int64),
        current=np.zeros(instruments, np.int64),
        used=np.zeros(instruments, np.int64),
        counts=np.zeros(5, np.int64),
    )


@inlined
def _use(buffers: Buffers, which: int) -> None:
    buffers.counts[USES] += 1
    buffers.used[which] = buffers.counts[USES]


@inlined
def _newest_ns(buffers: Buffers, which: int) -> int:
    return int(buffers.history[which, (buffers.taken[which] - 1) % HISTORY].ts_ns)


@inlined
def put(buffers: Buffers, which: int, depths: np.ndarray, index: int, ts_ns: int) -> None:
    """depths[index], received at `ts_ns`, is the newest book of instrument `which`: into the cache and the ring."""
    at = buffers.taken[which] % HISTORY
    buffers.history[which, at] = depths[index]
    buffers.history[which, at].ts_ns = ts_ns
    buffers.taken[which] += 1
    buffers.kept[which] = min(buffers.kept[which] + 1, HISTORY)
    buffers.current[which] = 1
    _use(buffers, which)


@njit(cache=True)
def look(buffers: Buffers, which: int, offset: int, now_ns: int, ttl_ns: int) -> int:
    """Place in history[which] of a book; -1: None.

    Offset 0 is the current cache, while its age is < `ttl_ns`; a negative one looks back in the ring, -1 the book
    before the newest; whatever is out of range is None.
    """
    if offset > 0 or -offset >= buffers.kept[which]:
        return -1
    if offset == 0:
        if buffers.current[which] == 0 or now_ns - _newest_ns(buffers, which) >= ttl_ns:
            return -1
        _use(buffers, which)
    return int((buffers.taken[which] - 1 + offset) % HISTORY)


@njit(cache=True)
def evict(buffers: Buffers, members: np.ndarray, now_ns: int, ttl_ns: int, cache_max: int) -> int:
    """One pass over the current cache.  Returns how many books it holds afterwards.

    Expired ones leave first, then the least recently used while there are more than `cache_max`; a pinned one
    (position or working order) never leaves.  When only pinned ones are left the cache stays larger and PINNED_OVER
    counts it (CACHE_PINNED).
    """
    size = 0
    for i in range(len(buffers.current)):
        if buffers.current[i] == 0:
            continue
        if members[i].pinned == 0 and now_ns - _newest_ns(buffers, i) >= ttl_ns:
            buffers.current[i] = 0
            buffers.counts[BY_TTL] += 1
        else:
            size += 1
    while size > cache_max:
        oldest = -1
        for i in range(len(buffers.current)):
            if buffers.current[i] == 0 or members[i].pinned != 0:
                continue
            if oldest < 0 or buffers.used[i] < buffers.used[oldest]:
                oldest = i
        if oldest < 0:
            buffers.counts[PINNED_OVER] += 1
            break
        buffers.current[oldest] = 0
        buffers.counts[BY_SIZE] += 1
        size -= 1
    return size


@njit(cache=True)
def clear(buffers: Buffers, which: int) -> None:
    """No book of instrument `which` is remembered."""
    buffers.taken[which] = 0
    buffers.kept[which] = 0
    buffers.current[which] = 0


@njit(cache=True)
def halve(buffers: Buffers, which: int) -> None:
    """The older half of the ring is forgotten."""
    buffers.kept[which] = (buffers.kept[which] + 1) // 2


@inlined
def _value(history: np.ndarray, which: int, at: int, lot_tick_micros: int) -> float:
    """RUB in the ten best levels of both sides."""
    depth = history[which, at]
    total = 0.0
    for i in range(TOP):
        if depth.bid_tick[i] != NO_TICK:
            total += float(depth.bid_tick[i]) * depth.bid_qty[i]
        if depth.ask_tick[i] != NO_TICK:
            total += float(depth.ask_tick[i]) * depth.ask_qty[i]
    return total * lot_tick_micros / MICROS


@inlined
def _note(members: np.ndarray, which: int, buffers: Buffers, ts_ns: int) -> None:
    """What metrics and the gate need of the book that was just put."""
    member = members[which]
    at = (buffers.taken[which] - 1) % HISTORY
    depth = buffers.history[which, at]
    bid, ask = depth.bid_tick[0], depth.ask_tick[0]
    member.book_ns = ts_ns
    member.book_empty = 1 if bid == NO_TICK and ask == NO_TICK else 0
    if side_faults(bid, ask) != 0 or depth["flags"] & FLAG_INVALID != 0:
        member.invalid_books += 1
        return
    member.valid_ns = ts_ns
    member.bid_tick = bid
    member.ask_tick = ask
    member.value = _value(buffers.history, which, at, member.lot_tick_micros)


@njit(cache=True)
def take_book(
    room: tuple[np.ndarray, ...],
    members: np.ndarray,
    states: np.ndarray,
    which: int,
    depths: np.ndarray,
    index: int,
    ts_ns: int,
    venue_ns: int,
    intervals: np.ndarray,
    row: np.ndarray,
) -> int:
    """depths[index] of instrument `which`: features into `row` (1, 88), book into cache and ring, figures into MEMBER.

    `room`: the arrays of Buffers as a plain tuple, for of a NamedTuple numba finds the type anew on each call, which
    costs 2 us.
    Returns the features' verdict (bookfeatures.records): OLD and BROKEN books are counted and leave no other trace;
    every other one is accepted, valid or not (MOEX-DATA-03).  `ts_ns` must not run back: an earlier stamp counts as
    the newest one.
    """
    own = borrowed(room)
    buffers = Buffers(own[0], own[1], own[2], own[3], own[4], own[5])
    members, states, depths, row = borrowed(members), borrowed(states), borrowed(depths), borrowed(row)
    made = add_book(states, which, depths, index, ts_ns, venue_ns, intervals, row, 0)
    if made == OLD or made == BROKEN:
        members[which].old_books += 1
        return int(made)
    received_ns = states[which].ts_ns
    put(buffers, which, depths, index, received_ns)
    _note(members, which, buffers, received_ns)
    if made == VALID:
        members[which].rv_60 = row[0, VOLATILITY]
    return int(made)


def age_ns(member: np.ndarray, now_ns: int) -> int | None:
    """Age of the newest accepted book of one MEMBER; None without one."""
    return None if member["book_ns"] == NO_TIME else now_ns - int(member["book_ns"])
