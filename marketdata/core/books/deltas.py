"""Level changes and snapshots (L2) → the levels of `ladder`, and their DEPTHs: in order, without a hole, or not at all.

Each update says after which number it comes (`after_id`) and up to which it leads (`last_id`).  It applies when the
book stands between the two; sizes are absolute, so an overlap does no harm.  Updates before the first snapshot wait, in
a room of fixed size.  An update behind a hole, or one that cannot be, withholds the book until the next snapshot, says
so and is counted: nothing is ever guessed.  Knows no venue's format; called by whoever reads one.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.books.ladder import (
    ROW,
    SIZE,
    TICK,
    Ladder,
    clear_side,
    fill_ladder,
    grow_ladder,
    level_count,
    new_ladder,
    set_levels,
)
from marketdata.core.books.verdicts import GAP, OLD, REFUSED, WAITING
from marketdata.core.compiled import borrowed, inner
from marketdata.core.depth import CHANGED_TOP, LEVELS_FULL, fill_book_event
from marketdata.core.records import BOOK, FEED, FEED_GAP, TRADE

WAITING_UPDATES = 256
WAITING_CHANGES = 1 << 15
PRICE_MAX = SIZE_MAX = 1 << 53

# kinds of MESSAGE
SNAPSHOT, UPDATE, PRINT = 1, 2, 3
# why `l2_events` stopped
DONE, OUTPUT_FULL, GROW = 0, 1, 2

MESSAGE = np.dtype(
    (
        np.record,
        [
            ("ts_ns", "<i8"),  # receipt
            ("ts_venue_ns", "<i8"),
            ("instrument", "<i4"),
            ("kind", "<i4"),
            ("after_id", "<i8"),  # of an update
            ("last_id", "<i8"),  # of an update or snapshot
            ("first", "<i8"),  # its changes: [first, first + count) of the tape's
            ("count", "<i8"),
            ("side", "<i8"),  # of a print: the aggressor
            ("price_tick", "<i8"),
            ("qty", "<i8"),
        ],
    )
)
L2_STATE = np.dtype(
    (
        np.record,
        [
            ("last_id", "<i8"),  # the book is that of this number, while `synced`
            ("synced", "<i8"),
            ("waiting", "<i8"),  # updates kept until a snapshot comes
            ("waiting_changes", "<i8"),
            # counted
            ("snapshots", "<i8"),
            ("applied", "<i8"),
            ("old", "<i8"),
            ("gaps", "<i8"),
            ("refused", "<i8"),
            ("forgotten", "<i8"),  # updates thrown away while waiting, for want of room
        ],
    )
)


class L2(NamedTuple):
    """Books of n instruments from level changes."""

    book: Ladder
    state: np.ndarray  # (n,) L2_STATE
    waiting: np.ndarray  # (n, WAITING_UPDATES, 4) int64: after_id, last_id, first, count
    changes: np.ndarray  # (n, WAITING_CHANGES, 3) int64 of the waiting updates


def new_l2(instruments: int, levels: int = 1 << 10) -> L2:
    """Books that wait for their first snapshot."""
    return L2(
        book=new_ladder(instruments, levels),
        state=np.zeros(instruments, L2_STATE),
        waiting=np.zeros((instruments, WAITING_UPDATES, 4), np.int64),
        changes=np.zeros((instruments, WAITING_CHANGES, 3), np.int64),
    )


def grow(l2: L2) -> L2:
    """The same with twice the room for price levels."""
    return l2._replace(book=grow_ladder(l2.book))


@inner
def _cannot_be(changes: np.ndarray, first: int, count: int, which: int) -> bool:
    """Whether a change names another instrument's row, or a price or size that is none."""
    if first < 0 or count < 0 or first + count > len(changes):
        return True
    for i in range(first, first + count):
        if changes[i, ROW] >> 1 != which or changes[i, TICK] <= 0 or changes[i, TICK] > PRICE_MAX:
            return True
        if changes[i, SIZE] < 0 or changes[i, SIZE] > SIZE_MAX:
            return True
    return False


@inner
def _has_room(l2: L2, which: int, more: int) -> bool:
    """Whether `more` new levels fit on either side."""
    fullest = max(level_count(l2.book, 2 * which), level_count(l2.book, 2 * which + 1))
    return fullest + more <= l2.book.rest.shape[1]


@inner
def _withhold(l2: L2, which: int) -> None:
    """The book is not known any more: empty until the next snapshot."""
    l2.state[which].synced = 0
    l2.state[which].waiting = 0
    l2.state[which].waiting_changes = 0
    clear_side(l2.book, 2 * which)
    clear_side(l2.book, 2 * which + 1)


@inner
def _wait(l2: L2, which: int, after_id: int, last_id: int, changes: np.ndarray, first: int, count: int) -> None:
    """Keep an update until a snapshot comes.  Without room, those that wait are forgotten: the snapshot will show."""
    state = l2.state[which]
    if state.waiting == WAITING_UPDATES or state.waiting_changes + count > WAITING_CHANGES:
        state.forgotten += state.waiting
        state.waiting = 0
        state.waiting_changes = 0
    if count > WAITING_CHANGES:
        state.forgotten += 1
        return
    place = l2.waiting[which, state.waiting]
    place[0] = after_id
    place[1] = last_id
    place[2] = state.waiting_changes
    place[3] = count
    for i in range(count):
        for column in range(3):
            l2.changes[which, state.waiting_changes + i, column] = changes[first + i, column]
    state.waiting += 1
    state.waiting_changes += count


@njit(cache=True)
def take_update(l2: L2, which: int, after_id: int, last_id: int, changes: np.ndarray, first: int, count: int) -> int:
    """An update of instrument `which`: changes[first : first + count], (m, 3) int64.

    Returns what happened: UNCHANGED, CHANGED_DEEP, CHANGED_TOP, LEVELS_FULL (grow and repeat), OLD, GAP, WAITING or
    REFUSED.  After GAP the update waits for the next snapshot.
    """
    l2, changes = borrowed((l2, changes))
    assert 0 <= which and which < len(l2.state)
    state = l2.state[which]
    if _cannot_be(changes, first, count, which) or last_id < after_id:
        state.refused += 1
        _withhold(l2, which)
        return REFUSED
    if state.synced == 1 and last_id <= state.last_id:
        state.old += 1
        return OLD
    if state.synced == 0:
        _wait(l2, which, after_id, last_id, changes, first, count)
        return WAITING
    if after_id > state.last_id:
        state.gaps += 1
        _withhold(l2, which)
        _wait(l2, which, after_id, last_id, changes, first, count)
        return GAP
    if not _has_room(l2, which, count):
        return LEVELS_FULL
    state.last_id = last_id
    state.applied += 1
    return set_levels(l2.book, changes, first, count)


@inner
def _take_waiting(l2: L2, which: int) -> int:
    """What waited and is newer than the snapshot, in its order: CHANGED_TOP, or GAP at the first hole."""
    state = l2.state[which]
    for k in range(state.waiting):
        after_id, last_id = l2.waiting[which, k, 0], l2.waiting[which, k, 1]
        if last_id <= state.last_id:
            state.old += 1
            continue
        if after_id > state.last_id:
            state.gaps += 1
            state.forgotten += state.waiting - k
            _withhold(l2, which)
            return GAP
        set_levels(l2.book, l2.changes[which], l2.waiting[which, k, 2], l2.waiting[which, k, 3])
        state.last_id = last_id
        state.applied += 1
    state.waiting = 0
    state.waiting_changes = 0
    return CHANGED_TOP


@njit(cache=True)
def take_snapshot(l2: L2, which: int, last_id: int, changes: np.ndarray, first: int, count: int) -> int:
    """The whole book of instrument `which` at `last_id`; then the updates that waited.

    Returns CHANGED_TOP, LEVELS_FULL (grow and repeat), OLD (older than the book that stands: dropped), GAP (it does not
    reach the updates that waited: another is needed) or REFUSED.
    """
    l2, changes = borrowed((l2, changes))
    assert 0 <= which and which < len(l2.state)
    state = l2.state[which]
    if _cannot_be(changes, first, count, which):
        state.refused += 1
        _withhold(l2, which)
        return REFUSED
    if state.synced == 1 and last_id < state.last_id:
        state.old += 1
        return OLD
    if count + state.waiting_changes > l2.book.rest.shape[1]:
        return LEVELS_FULL
    clear_side(l2.book, 2 * which)
    clear_side(l2.book, 2 * which + 1)
    set_levels(l2.book, changes, first, count)
    state.synced = 1
    state.last_id = last_id
    state.snapshots += 1
    return _take_waiting(l2, which)


@inner
def _write(message: np.record, kind: int, events: np.ndarray, at: int) -> None:
    event = events[at]
    event.kind = kind
    event.instrument = message.instrument
    event.ts_ns = message.ts_ns
    event.ts_venue_ns = message.ts_venue_ns
    event.ref = message.last_id


@njit(cache=True)
def l2_events(
    l2: L2,
    messages: np.ndarray,
    changes: np.ndarray,
    start: int,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
) -> tuple[int, int, int, int]:
    """Messages from `start` on → events.  Returns (next message, events, depths, why it stopped).

    `events` and `depths` are fresh (new_events, new_depths), `depth_of` is filled with -1.  A BOOK follows each message
    that changed the 20 best levels, a FEED_GAP each one that made the book unknown, a TRADE each print; `ref` is the
    book's number.  GROW: call `grow` and go on.
    """
    l2, messages, changes, events, depths, depth_of = borrowed((l2, messages, changes, events, depths, depth_of))
    at, d = 0, 0
    for k in range(start, len(messages)):
        if at == len(events) or d == len(depths):
            return k, at, d, OUTPUT_FULL
        message = messages[k]
        which = message.instrument
        if message.kind == PRINT:
            _write(message, TRADE, events, at)
            events[at].side = message.side
            events[at].price_tick = message.price_tick
            events[at].qty = message.qty
            at += 1
            continue
        if message.kind == SNAPSHOT:
            done = take_snapshot(l2, which, message.last_id, changes, message.first, message.count)
        else:
            done = take_update(l2, which, message.after_id, message.last_id, changes, message.first, message.count)
        if done == LEVELS_FULL:
            return k, at, d, GROW
        if done == CHANGED_TOP:
            depth = depths[d]
            depth.ts_ns = message.ts_ns
            depth.ts_venue_ns = message.ts_venue_ns
            depth.instrument = which
            fill_ladder(l2.book, which, depths, d)
            _write(message, BOOK, events, at)
            fill_book_event(depths, d, events, at)
            depth_of[at] = d
            d += 1
            at += 1
        elif done == GAP or done == REFUSED:
            _write(message, FEED, events, at)
            events[at].code = FEED_GAP
            at += 1
    return len(messages), at, d, DONE
