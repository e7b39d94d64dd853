"""Order book from market-by-order messages, and what a DEPTH record says of any book.

A Book holds every resting order (open-addressing table by order id) and the price levels that they add up to, one row
per instrument and side, best level LAST: most changes are near the touch, so an insert moves few levels.  Arrays have
a fixed size; a call that finds them full changes nothing and says so, and the caller grows them (`grow_*`).
Called by `core.tape` and `core.books`.  It knows nothing of files, of time or of trading; prices are ticks, sizes
contracts or lots.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.quality import GOOD, book_verdict
from marketdata.core.records import BUY, FLAG_INVALID, LEVELS

ORDERS_START = 1 << 14
LEVELS_START = 1 << 10
_MIX = 0x61C88647  # 2^32 x (1 - golden ratio), 31 bits: spreads consecutive ids, and the product fits int64
_LOW = 0x7FFFFFFF

# what an order message did to the book
UNCHANGED, CHANGED_DEEP, CHANGED_TOP, ORDERS_FULL, LEVELS_FULL = 0, 1, 2, 3, 4

# indexes in Book.counts
ORDERS_USED, UNKNOWN_ORDERS, REPEATED_ORDERS = 0, 1, 2


# columns of Book.orders and Book.levels
ID, ROW, ORDER_TICK, ORDER_SIZE = 0, 1, 2, 3
TICK, SIZE = 0, 1


class Book(NamedTuple):
    """Orders and levels of n instruments.  Row 2*i is the bid side of instrument i, row 2*i + 1 its ask side.

    Few arrays, each with what is read together side by side: an order costs one cache line, a call few arguments.
    """

    orders: np.ndarray  # (capacity, 4) int64: order id, row (−1 = free slot), tick, size
    levels: (
        np.ndarray
    )  # (2n, level capacity, 2) int64 tick, size; bids ascending, asks descending: the best is the last
    level_count: np.ndarray  # (2n,) int64
    counts: np.ndarray  # (4,) int64, see ORDERS_USED ..


def new_book(instruments: int, orders: int = ORDERS_START, levels: int = LEVELS_START) -> Book:
    """An empty book of `instruments` instruments; `orders` is a power of two."""
    assert orders & (orders - 1) == 0 and instruments > 0 and levels > 0
    book = Book(
        orders=np.zeros((orders, 4), np.int64),
        levels=np.zeros((2 * instruments, levels, 2), np.int64),
        level_count=np.zeros(2 * instruments, np.int64),
        counts=np.zeros(4, np.int64),
    )
    book.orders[:, ROW] = -1
    return book


@njit(cache=True, inline="always")
def _home(order_id: int, mask: int) -> int:
    """Slot where the search for this id starts."""
    return ((((order_id >> 31) ^ order_id) & _LOW) * _MIX >> 20) & mask


@njit(cache=True, inline="always")
def _slot(book: Book, order_id: int) -> int:
    """Slot of this order, or the free slot where it belongs."""
    mask = book.orders.shape[0] - 1
    i = _home(order_id, mask)
    while book.orders[i, ROW] >= 0 and book.orders[i, ID] != order_id:
        i = (i + 1) & mask
    return i


@njit(cache=True)
def _free(book: Book, slot: int) -> None:
    """Take the order out of the table; later orders of the same run move up, so that no search ends too early."""
    mask = book.orders.shape[0] - 1
    hole = slot
    i = (slot + 1) & mask
    while book.orders[i, ROW] >= 0:
        home = _home(book.orders[i, ID], mask)
        if ((i - home) & mask) >= ((i - hole) & mask):
            book.orders[hole, ID] = book.orders[i, ID]
            book.orders[hole, ROW] = book.orders[i, ROW]
            book.orders[hole, ORDER_TICK] = book.orders[i, ORDER_TICK]
            book.orders[hole, ORDER_SIZE] = book.orders[i, ORDER_SIZE]
            hole = i
        i = (i + 1) & mask
    book.orders[hole, ROW] = -1
    book.counts[ORDERS_USED] -= 1


@njit(cache=True, inline="always")
def _find_level(book: Book, row: int, tick: int) -> int:
    """Index of the level at `tick`, or where it belongs.  Bid rows ascend, ask rows descend."""
    sign = 1 if row % 2 == 0 else -1
    low, high = 0, book.level_count[row]
    while low < high:
        middle = (low + high) // 2
        if sign * book.levels[row, middle, TICK] < sign * tick:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _change_level(book: Book, row: int, tick: int, delta: int) -> int:
    """Add `delta` to the size at `tick`.  Returns CHANGED_TOP when it is one of the best 20 levels, LEVELS_FULL when
    a new level has no room (nothing changed then)."""
    at = _find_level(book, row, tick)
    count = book.level_count[row]
    known = at < count and book.levels[row, at, TICK] == tick
    if not known:
        if count == book.levels.shape[1]:
            return LEVELS_FULL
        for i in range(count, at, -1):
            book.levels[row, i, TICK] = book.levels[row, i - 1, TICK]
            book.levels[row, i, SIZE] = book.levels[row, i - 1, SIZE]
        book.levels[row, at, TICK] = tick
        book.levels[row, at, SIZE] = 0
        count += 1
        book.level_count[row] = count
    top = count - at <= LEVELS
    book.levels[row, at, SIZE] += delta
    if book.levels[row, at, SIZE] <= 0:
        for i in range(at, count - 1):
            book.levels[row, i, TICK] = book.levels[row, i + 1, TICK]
            book.levels[row, i, SIZE] = book.levels[row, i + 1, SIZE]
        book.level_count[row] = count - 1
    return CHANGED_TOP if top else CHANGED_DEEP


@njit(cache=True, inline="always")
def _full(book: Book, row: int) -> int:
    """UNCHANGED when one more order and one more level on `row` fit, else which of the two does not."""
    if 2 * (book.counts[ORDERS_USED] + 1) > book.orders.shape[0]:
        return ORDERS_FULL
    if book.level_count[row] == book.levels.shape[1]:
        return LEVELS_FULL
    return UNCHANGED


@njit(cache=True)
def put_order(book: Book, order_id: int, row: int, tick: int, size: int) -> int:
    """A new order, or the new price and size of a known one.  Size 0 takes it out.  Returns what happened.

    ORDERS_FULL and LEVELS_FULL: the book is as it was; grow it and repeat the call.
    """
    full = _full(book, row)
    if full != UNCHANGED:
        return full
    slot = _slot(book, order_id)
    changed = UNCHANGED
    if book.orders[slot, ROW] >= 0:
        changed = _change_level(
            book, book.orders[slot, ROW], book.orders[slot, ORDER_TICK], -book.orders[slot, ORDER_SIZE]
        )
        if size <= 0:
            _free(book, slot)
            return changed
    elif size <= 0:
        return UNCHANGED
    else:
        book.counts[ORDERS_USED] += 1
    book.orders[slot, ID] = order_id
    book.orders[slot, ROW] = row
    book.orders[slot, ORDER_TICK] = tick
    book.orders[slot, ORDER_SIZE] = size
    return max(changed, _change_level(book, row, tick, size))


@njit(cache=True)
def add_order(book: Book, order_id: int, row: int, tick: int, size: int) -> int:
    """Action A.  An id that already rests is counted and replaced."""
    full = _full(book, row)
    if full != UNCHANGED:
        return full
    if book.orders[_slot(book, order_id), ROW] >= 0:
        book.counts[REPEATED_ORDERS] += 1
    return put_order(book, order_id, row, tick, size)


@njit(cache=True)
def modify_order(book: Book, order_id: int, row: int, tick: int, size: int) -> int:
    """Action M.  An id that the file never added is counted and added."""
    full = _full(book, row)
    if full != UNCHANGED:
        return full
    if book.orders[_slot(book, order_id), ROW] < 0:
        book.counts[UNKNOWN_ORDERS] += 1
    return put_order(book, order_id, row, tick, size)


@njit(cache=True)
def reduce_order(book: Book, order_id: int, size: int) -> int:
    """Action C: `size` less; at zero the order is gone.  An unknown id is counted and changes nothing."""
    slot = _slot(book, order_id)
    if book.orders[slot, ROW] < 0:
        book.counts[UNKNOWN_ORDERS] += 1
        return UNCHANGED
    taken = min(size, book.orders[slot, ORDER_SIZE])
    changed = _change_level(book, book.orders[slot, ROW], book.orders[slot, ORDER_TICK], -taken)
    book.orders[slot, ORDER_SIZE] -= taken
    if book.orders[slot, ORDER_SIZE] == 0:
        _free(book, slot)
    return changed


@njit(cache=True)
def order_size(book: Book, order_id: int) -> int:
    """What is left of this order; 0 when it does not rest in the book."""
    slot = _slot(book, order_id)
    return book.orders[slot, ORDER_SIZE] if book.orders[slot, ROW] >= 0 else 0


@njit(cache=True)
def clear_instrument(book: Book, instrument: int) -> None:
    """Action R: every order of this instrument is gone."""
    book.level_count[2 * instrument] = 0
    book.level_count[2 * instrument + 1] = 0
    for i in range(book.orders.shape[0]):
        while book.orders[i, ROW] >= 0 and book.orders[i, ROW] // 2 == instrument:
            _free(book, i)  # another order may move into slot i: look again


def grow_orders(book: Book) -> Book:
    """The same book with twice the room for orders."""
    larger = new_book(book.level_count.size // 2, 2 * book.orders.shape[0], 1)
    grown = book._replace(orders=larger.orders)
    _copy_orders(book, grown)
    return grown


@njit(cache=True)
def _copy_orders(source: Book, target: Book) -> None:
    for i in range(source.orders.shape[0]):
        if source.orders[i, ROW] >= 0:
            slot = _slot(target, source.orders[i, ID])
            target.orders[slot, ID] = source.orders[i, ID]
            target.orders[slot, ROW] = source.orders[i, ROW]
            target.orders[slot, ORDER_TICK] = source.orders[i, ORDER_TICK]
            target.orders[slot, ORDER_SIZE] = source.orders[i, ORDER_SIZE]


def grow_levels(book: Book) -> Book:
    """The same book with twice the room for price levels."""
    return book._replace(levels=np.concatenate((book.levels, np.zeros_like(book.levels)), axis=1))


@njit(cache=True)
def fill_depth(book: Book, instrument: int, depths: np.ndarray, at: int) -> None:
    """Write the best 20 levels of both sides into `depths[at]` (a fresh record: absent levels are already absent)."""
    record = depths[at]
    row = 2 * instrument
    count = book.level_count[row]
    for i in range(min(count, LEVELS)):
        record.bid_tick[i] = book.levels[row, count - 1 - i, TICK]
        record.bid_qty[i] = book.levels[row, count - 1 - i, SIZE]
    count = book.level_count[row + 1]
    for i in range(min(count, LEVELS)):
        record.ask_tick[i] = book.levels[row + 1, count - 1 - i, TICK]
        record.ask_qty[i] = book.levels[row + 1, count - 1 - i, SIZE]


@njit(cache=True)
def fill_book_event(depths: np.ndarray, at: int, events: np.ndarray, index: int) -> None:
    """Best prices, totals and validity of `depths[at]` → BOOK event `events[index]`; flags both alike.

    Invalid: a side is missing, or the best bid is at or above the best ask (pre-open books are crossed).
    """
    depth = depths[at]
    event = events[index]
    total_bid, total_ask = 0, 0
    for i in range(LEVELS):
        total_bid += depth.bid_qty[i]
        total_ask += depth.ask_qty[i]
    bid, ask = depth.bid_tick[0], depth.ask_tick[0]
    event.bid_tick = bid
    event.ask_tick = ask
    event.bid_qty = depth.bid_qty[0]
    event.ask_qty = depth.ask_qty[0]
    event.volume = total_bid
    event.value = total_ask
    if book_verdict(bid, ask) != GOOD:
        event["flags"] |= FLAG_INVALID
        depth["flags"] |= FLAG_INVALID


@njit(cache=True)
def book_row(instrument: int, side: int) -> int:
    """Row of Book for this instrument and side (+1 bid, −1 ask)."""
    return 2 * instrument if side == BUY else 2 * instrument + 1
