"""Order messages beside the levels that the venue published after each (LOBSTER): the messages move the book, the rows
check it.

A row shows its best levels only.  What rests deeper is told when it comes into view, by the row alone: it is put in as
the nameless order of `core.books.orders`, one a level, before the message that uncovers it.  Levels that were in view
a row before must be what the messages make of them; where they are not, the row is counted, the book says that it is
wrong from there on, and nothing is mended.  Deeper levels than the rows show are in no DEPTH: nobody knows them.
"""

import numpy as np
from numba import njit

from marketdata.core.books.orders import (
    ADD,
    DONE,
    EXECUTE,
    GROW_LEVELS,
    GROW_ORDERS,
    OUTPUT_FULL,
    TAKE,
    nameless,
    order_events,
)
from marketdata.core.depth import LEVELS_FULL, ORDERS_FULL, Book, fill_book_event, put_order, reduce_order
from marketdata.core.records import BUY, FLAG_INVALID, LEVELS, NO_TICK, SELL

# columns of a published level
ASK_TICK, ASK_QTY, BID_TICK, BID_QTY = range(4)
# indexes in checks
ROWS, DIFFERENT, FIRST_DIFFERENT, COMPARED, LEARNED, BID_BOUND, ASK_BOUND = range(7)

TICK_END = 1 << 40  # beyond every tick
# columns of Book.orders and Book.levels, as in core.depth
_ID, _ROW, _TICK, _QTY = 0, 1, 2, 3
_LEVEL_TICK, _LEVEL_QTY = 0, 1


def new_checks() -> np.ndarray:
    """(7,) int64, see ROWS ..: rows looked at, rows that differ and the first of them (-1), levels compared, levels
    that a row alone told, and the worst tick in view on either side; nothing is in view before the first row."""
    checks = np.zeros(7, np.int64)
    checks[FIRST_DIFFERENT] = -1
    checks[BID_BOUND] = TICK_END
    checks[ASK_BOUND] = -TICK_END
    return checks


@njit(cache=True)
def _clear_level(book: Book, row: int, tick: int) -> None:
    """Take out every order that we hold at a level which was out of view: what became of them was not told."""
    i = 0
    while i < book.orders.shape[0]:
        if book.orders[i, _ROW] == row and book.orders[i, _TICK] == tick:
            reduce_order(book, book.orders[i, _ID], book.orders[i, _QTY])  # another order may move into this place
        else:
            i += 1


@njit(cache=True)
def _clear_hidden(book: Book, row: int, side: int, bound: int, until: int) -> None:
    """Clear what we hold out of view, up to the new worst tick in view."""
    at = 0
    while at < book.level_count[row]:
        tick = book.levels[row, at, _LEVEL_TICK]
        if side * tick >= side * bound:
            return
        if side * tick >= side * until:
            _clear_level(book, row, tick)
        else:
            at += 1


@njit(cache=True)
def _moved(message: np.record, side: int, tick: int) -> int:
    """What a message adds at a level; negative where it takes."""
    if message.side != side or message.price_tick != tick:
        return 0
    if message.action == ADD:
        return message.qty
    if message.action == TAKE or message.action == EXECUTE:
        return -message.qty
    return 0


@njit(cache=True)
def _learn(
    book: Book, checks: np.ndarray, message: np.record, levels: np.ndarray, side: int, bound: int, until: int
) -> int:
    """Put in what comes into view with a row, as it was before the row's message.  0, or why there is no room."""
    row = 0 if side == BUY else 1
    tick_at = BID_TICK if side == BUY else ASK_TICK
    _clear_hidden(book, row, side, bound, until)
    shown, learned = False, 0
    for i in range(len(levels)):
        tick = levels[i, tick_at]
        if tick == NO_TICK or side * tick >= side * bound:
            continue
        shown = shown or tick == message.price_tick
        before = levels[i, tick_at + 1] - _moved(message, side, tick)
        if before <= 0:
            continue
        done = put_order(book, nameless(row, tick), row, tick, before)
        if done == ORDERS_FULL or done == LEVELS_FULL:
            return done
        learned += 1
    taken = -_moved(message, side, message.price_tick)
    if taken > 0 and not shown and side * message.price_tick < side * bound:
        done = put_order(book, nameless(row, message.price_tick), row, message.price_tick, taken)
        if done == ORDERS_FULL or done == LEVELS_FULL:
            return done
        learned += 1
    checks[LEARNED] += learned
    return 0


@njit(cache=True)
def _worst(levels: np.ndarray, side: int) -> int:
    """The worst tick that a row shows on a side; beyond every tick where it shows the whole side."""
    last = levels[len(levels) - 1, BID_TICK if side == BUY else ASK_TICK]
    return -side * TICK_END if last == NO_TICK else last


@njit(cache=True)
def _differs(book: Book, checks: np.ndarray, levels: np.ndarray, side: int) -> bool:
    """Whether our best levels of a side are others than the row's."""
    row = 0 if side == BUY else 1
    tick_at = BID_TICK if side == BUY else ASK_TICK
    count = book.level_count[row]
    for i in range(len(levels)):
        if levels[i, tick_at] == NO_TICK:
            return count > i
        if i >= count:
            return True
        at = count - 1 - i
        if book.levels[row, at, _LEVEL_TICK] != levels[i, tick_at]:
            return True
        if book.levels[row, at, _LEVEL_QTY] != levels[i, tick_at + 1]:
            return True
        checks[COMPARED] += 1
    return False


@njit(cache=True)
def _trim(depths: np.ndarray, at: int, shown: int) -> None:
    """Deeper levels than the rows show are not known."""
    depth = depths[at]
    for i in range(shown, LEVELS):
        depth.bid_tick[i] = NO_TICK
        depth.bid_qty[i] = 0
        depth.ask_tick[i] = NO_TICK
        depth.ask_qty[i] = 0


@njit(cache=True)
def published_events(
    book: Book,
    counts: np.ndarray,
    checks: np.ndarray,
    messages: np.ndarray,
    published: np.ndarray,
    start: int,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
) -> tuple[int, int, int, int]:
    """As `orders.order_events`, for one instrument (0), with the row that was published after each message.

    `published` (n, levels, 4) int64: ticks and sizes, NO_TICK and 0 where a level is absent.  `checks`: new_checks().
    """
    at, d = 0, 0
    shown = published.shape[1]
    for k in range(start, len(messages)):
        if at + 2 > len(events) or d == len(depths):
            return k, at, d, OUTPUT_FULL
        levels = published[k]
        for side in (BUY, SELL):
            bound = checks[BID_BOUND] if side == BUY else checks[ASK_BOUND]
            full = _learn(book, checks, messages[k], levels, side, bound, _worst(levels, side))
            if full != 0:
                return k, at, d, GROW_ORDERS if full == ORDERS_FULL else GROW_LEVELS
        done = order_events(
            book, counts, messages[k : k + 1], 0, events[at : at + 2], depths[d : d + 1], depth_of[at : at + 2]
        )
        if done[3] != DONE:
            return k, at, d, done[3]
        checks[BID_BOUND] = _worst(levels, BUY)
        checks[ASK_BOUND] = _worst(levels, SELL)
        checks[ROWS] += 1
        differs = _differs(book, checks, levels, BUY)
        if _differs(book, checks, levels, SELL) or differs:
            if checks[FIRST_DIFFERENT] < 0:
                checks[FIRST_DIFFERENT] = checks[ROWS] - 1
            checks[DIFFERENT] += 1
        if done[2] == 1:
            last = at + done[1] - 1
            _trim(depths, d, shown)
            fill_book_event(depths, d, events, last)
            if checks[DIFFERENT] > 0:
                depths[d]["flags"] |= FLAG_INVALID
                events[last]["flags"] |= FLAG_INVALID
            depth_of[last] = d
        at += done[1]
        d += done[2]
    return len(messages), at, d, DONE
