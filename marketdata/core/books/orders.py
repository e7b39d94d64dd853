"""Order messages (L3) of venues that number orders, in plain columns → the book of `core.depth`, and its DEPTHs.

A recording often starts while orders rest already: of them only the sizes by price are known.  `seed` puts those in as
one nameless order a level, and a message about an order that was never added takes from the nameless one at its price.
Where there is none either, or a message takes more than rests, nothing is guessed: the message is counted and the book
says so (`doubtful`).  The vendor's own market-by-order records go through `core.tape`.
"""

import numpy as np
from numba import njit

from marketdata.core.compiled import inner
from marketdata.core.depth import (
    CHANGED_TOP,
    LEVELS_FULL,
    ORDERS_FULL,
    UNCHANGED,
    Book,
    add_order,
    book_row,
    fill_book_event,
    fill_depth,
    order_size,
    reduce_order,
)
from marketdata.core.records import (
    BOOK,
    BUY,
    FLAG_INVALID,
    LEVELS,
    NO_TICK,
    SELL,
    STATUS,
    STATUS_HALTED,
    STATUS_OPEN,
    TRADE,
)

# actions of MESSAGE
ADD, TAKE, EXECUTE, HIDDEN, HALT, RESUME = 1, 2, 3, 4, 5, 6
SIZE_MAX = 1 << 53
# why `order_events` stopped
DONE, OUTPUT_FULL, GROW_ORDERS, GROW_LEVELS = range(4)
# indexes in counts
NAMELESS, UNKNOWN, TOO_MUCH, REPEATED, REFUSED = range(5)

MESSAGE = np.dtype(
    (
        np.record,
        [
            ("ts_ns", "<i8"),
            ("ts_venue_ns", "<i8"),
            ("instrument", "<i4"),
            ("action", "<i4"),
            ("side", "<i8"),  # of the resting order: +1 bid, -1 ask
            ("order_id", "<i8"),  # positive
            ("price_tick", "<i8"),
            ("qty", "<i8"),
        ],
    )
)


def new_counts() -> np.ndarray:
    """(5,) int64, see NAMELESS ..: messages about orders from before, about none known, too large, repeated, absurd."""
    return np.zeros(5, np.int64)


@njit(cache=True)
def nameless(row: int, tick: int) -> int:
    """The id of the order that stands for what rested at this price before the recording: negative."""
    return -(4096 * tick + row + 1)


@njit(cache=True)
def seed(book: Book, which: int, depths: np.ndarray, at: int) -> int:
    """Put the levels of depths[at] into an empty book as nameless orders of instrument `which`.

    Returns CHANGED_TOP, or LEVELS_FULL or ORDERS_FULL, then with a part of the levels in: seed a larger book anew.
    """
    depth = depths[at]
    for i in range(LEVELS):
        if depth.bid_tick[i] != NO_TICK:
            row = book_row(which, 1)
            done = add_order(book, nameless(row, depth.bid_tick[i]), row, depth.bid_tick[i], depth.bid_qty[i])
            if done == LEVELS_FULL or done == ORDERS_FULL:
                return done
        if depth.ask_tick[i] != NO_TICK:
            row = book_row(which, -1)
            done = add_order(book, nameless(row, depth.ask_tick[i]), row, depth.ask_tick[i], depth.ask_qty[i])
            if done == LEVELS_FULL or done == ORDERS_FULL:
                return done
    return CHANGED_TOP


@inner
def _take(book: Book, counts: np.ndarray, row: int, order_id: int, tick: int, size: int) -> int:
    """`size` less of an order; of the nameless one at its price where the order was never added."""
    held = order_size(book, order_id)
    if held == 0:
        order_id = nameless(row, tick)
        held = order_size(book, order_id)
        if held == 0:
            counts[UNKNOWN] += 1
            return UNCHANGED
        counts[NAMELESS] += 1
    if size > held:
        counts[TOO_MUCH] += 1
    return reduce_order(book, order_id, size)


@inner
def _cannot_be(book: Book, message: np.record) -> bool:
    """Whether a message that moves or prints lots has a side, id, price or quantity that is none."""
    assert 0 <= message.instrument and 2 * message.instrument < book.level_count.size
    if message.action == HALT or message.action == RESUME:
        return False
    if message.action < ADD or message.action > RESUME or (message.side != BUY and message.side != SELL):
        return True
    if message.order_id <= 0 and message.action != HIDDEN:
        return True
    return message.price_tick <= 0 or message.qty <= 0 or message.qty > SIZE_MAX


@inner
def _apply(book: Book, counts: np.ndarray, message: np.record) -> int:
    """One message to the book; a code of core.depth."""
    row = book_row(message.instrument, message.side)
    if message.action == ADD:
        known = order_size(book, message.order_id) > 0
        done = add_order(book, message.order_id, row, message.price_tick, message.qty)
        if known and done != ORDERS_FULL and done != LEVELS_FULL:
            counts[REPEATED] += 1
        return done
    if message.action == TAKE or message.action == EXECUTE:
        return _take(book, counts, row, message.order_id, message.price_tick, message.qty)
    return UNCHANGED


@njit(cache=True)
def doubtful(counts: np.ndarray) -> bool:
    """Whether a message did not fit what the book held: from then on its levels may be wrong."""
    return counts[UNKNOWN] + counts[TOO_MUCH] + counts[REPEATED] + counts[REFUSED] > 0


@inner
def _write(message: np.record, kind: int, events: np.ndarray, at: int) -> None:
    event = events[at]
    event.kind = kind
    event.instrument = message.instrument
    event.ts_ns = message.ts_ns
    event.ts_venue_ns = message.ts_venue_ns


@njit(cache=True)
def order_events(
    book: Book,
    counts: np.ndarray,
    messages: np.ndarray,
    start: int,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
) -> tuple[int, int, int, int]:
    """Messages from `start` on → events.  Returns (next message, events, depths, why it stopped).

    `events` and `depths` are fresh (new_events, new_depths), `depth_of` is filled with -1.  An execution gives a TRADE
    (the aggressor is on the other side), then, where it changed the 20 best levels, a BOOK; a BOOK of a doubtful book
    is flagged invalid.  GROW_ORDERS, GROW_LEVELS: grow the book and go on.
    """
    at, d = 0, 0
    for k in range(start, len(messages)):
        if at + 2 > len(events) or d == len(depths):
            return k, at, d, OUTPUT_FULL
        message = messages[k]
        if _cannot_be(book, message):
            counts[REFUSED] += 1
            continue
        done = _apply(book, counts, message)
        if done == ORDERS_FULL:
            return k, at, d, GROW_ORDERS
        if done == LEVELS_FULL:
            return k, at, d, GROW_LEVELS
        if message.action == EXECUTE or message.action == HIDDEN:
            _write(message, TRADE, events, at)
            events[at].side = -message.side
            events[at].price_tick = message.price_tick
            events[at].qty = message.qty
            at += 1
        elif message.action == HALT or message.action == RESUME:
            _write(message, STATUS, events, at)
            events[at].code = STATUS_HALTED if message.action == HALT else STATUS_OPEN
            at += 1
        if done == CHANGED_TOP:
            depth = depths[d]
            depth.ts_ns = message.ts_ns
            depth.ts_venue_ns = message.ts_venue_ns
            depth.instrument = message.instrument
            fill_depth(book, message.instrument, depths, d)
            _write(message, BOOK, events, at)
            fill_book_event(depths, d, events, at)
            if doubtful(counts):
                depth["flags"] |= FLAG_INVALID
                events[at]["flags"] |= FLAG_INVALID
            depth_of[at] = d
            d += 1
            at += 1
    return len(messages), at, d, DONE
