"""Fills on a 20-level book and the trades beside it (MOEX-PAPER-01).

Market and marketable orders walk the visible levels, one fill a level; what our own orders took stays taken until that
level's displayed quantity changes.  A resting limit stands behind what was displayed at its price when it arrived; only
trades fill it: at its price once the queue in front is used up, through its price at once.  Stops trigger on a trade at
or through them, or on the far touch being through them, and then walk as market orders.  No usable book of the last
60 s: an entry at market is cancelled, an exit waits for the next book; what a walk leaves over is treated alike.
"""

import numpy as np
from numba import njit

from marketdata.core.records import DEPTH, LEVELS, NO_TICK, NO_TIME, STATUS_OPEN
from risk.core.shares.routing import BESTPRICE_PPM, aggressive_tick
from trading.core.records import BEST_PRICE, CANCELLED_BY_VENUE, ENTRY, FILL_AND_KILL, LIMIT, MARKET, STOP
from trading.core.venue.answers import cancel, fill, remaining
from trading.core.venue.slips import fill_ticks
from trading.core.venue.state import BOOK_AGE_NS_MAX, UNSEEN, Venue

assert DEPTH.itemsize > 0  # books are stored as DEPTH rows


@njit(cache=True)
def book_usable(venue: Venue, instrument: int) -> bool:
    """A book that may fill orders: shown, younger than 60 s, trading open."""
    market = venue.markets[instrument]
    if market.book_ns == NO_TIME or market.status != STATUS_OPEN:
        return False
    return venue.account[0].now_ns - market.book_ns < BOOK_AGE_NS_MAX


@njit(cache=True)
def walk(venue: Venue, out: np.ndarray, n: int, slot: int, limit_tick: int, ts_ns: int) -> int:
    """Take visible levels up to `limit_tick` (NO_TICK: all).  One fill a level."""
    order = venue.orders[slot]
    book = venue.books[order.instrument]
    asks = order.side > 0
    ticks = book.ask_tick if asks else book.bid_tick
    shown = book.ask_qty if asks else book.bid_qty
    taken = venue.taken[order.instrument, 1 if asks else 0]
    for level in range(LEVELS):
        tick = ticks[level]
        if tick == NO_TICK or order.filled == order.qty:
            break
        if limit_tick != NO_TICK and (tick - limit_tick) * order.side > 0:
            break
        qty = min(shown[level] - taken[level], order.qty - order.filled)
        if qty > 0:
            taken[level] += qty
            venue.markets[order.instrument].taken_any = 1
            n = fill(venue, out, n, slot, qty, tick, ts_ns)
    return n


@njit(cache=True)
def go_market(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int) -> int:
    """A market order, or a stop that triggered, meets the book."""
    order = venue.orders[slot]
    if book_usable(venue, order.instrument):
        n = walk(venue, out, n, slot, NO_TICK, ts_ns)
    if order.filled < order.qty and order.role == ENTRY:
        n = cancel(venue, out, n, slot, ts_ns, CANCELLED_BY_VENUE)
    return n


@njit(cache=True)
def displayed_at(venue: Venue, instrument: int, side: int, tick: int) -> int:
    """Quantity displayed on our own side at a price: 0 inside the visible range, UNSEEN beyond it."""
    book = venue.books[instrument]
    if venue.markets[instrument].book_ns == NO_TIME:
        return UNSEEN
    ticks = book.bid_tick if side > 0 else book.ask_tick
    shown = book.bid_qty if side > 0 else book.ask_qty
    for level in range(LEVELS):
        if ticks[level] == NO_TICK:
            return 0  # fewer levels than the book can show: nothing stands there
        if ticks[level] == tick:
            return shown[level]
        if (tick - ticks[level]) * side > 0:
            return 0
    return UNSEEN


@njit(cache=True)
def _triggers(venue: Venue, slot: int) -> bool:
    """Whether the last trade or the far touch stands at or through a stop."""
    order = venue.orders[slot]
    market = venue.markets[order.instrument]
    if market.status != STATUS_OPEN:
        return False
    if market.last_tick != NO_TICK and (market.last_tick - order.stop_tick) * order.side >= 0:
        return True
    if not book_usable(venue, order.instrument):
        return False
    book = venue.books[order.instrument]
    touch = book.bid_tick[0] if order.side > 0 else book.ask_tick[0]
    return touch != NO_TICK and (touch - order.stop_tick) * order.side >= 0


@njit(cache=True)
def try_order(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int) -> int:
    """A market or stop order against market and book as they stand now."""
    order = venue.orders[slot]
    if order.order_type == STOP and order.triggered == 0:
        if not _triggers(venue, slot):
            return n
        order.triggered = 1
    return go_market(venue, out, n, slot, ts_ns)


@njit(cache=True)
def _take(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int) -> int:
    """Walk the visible levels up to the limit, of BEST_PRICE up to 0.3 % beyond the best of them; the rest ends."""
    order = venue.orders[slot]
    if book_usable(venue, order.instrument):
        limit_tick = order.price_tick
        if order.order_type == BEST_PRICE:
            book = venue.books[order.instrument]
            best = book.ask_tick[0] if order.side > 0 else book.bid_tick[0]
            limit_tick = NO_TICK if best == NO_TICK or best <= 0 else aggressive_tick(order.side, best, BESTPRICE_PPM)
        if limit_tick != NO_TICK:  # nothing shown, nothing filled
            n = walk(venue, out, n, slot, limit_tick, ts_ns)
    if order.filled < order.qty:
        n = cancel(venue, out, n, slot, ts_ns, CANCELLED_BY_VENUE)
    return n


@njit(cache=True)
def arrive(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int) -> int:
    """An order that has just been acknowledged, or whose price was just changed."""
    order = venue.orders[slot]
    if order.order_type == FILL_AND_KILL or order.order_type == BEST_PRICE:
        return _take(venue, out, n, slot, ts_ns)
    if order.order_type != LIMIT:
        return try_order(venue, out, n, slot, ts_ns)
    if book_usable(venue, order.instrument):
        n = walk(venue, out, n, slot, order.price_tick, ts_ns)
    if order.filled < order.qty:
        order.ahead = displayed_at(venue, order.instrument, order.side, order.price_tick)
    return n


@njit(cache=True)
def _try_takers(venue: Venue, instrument: int, out: np.ndarray, n: int, ts_ns: int) -> int:
    """Waiting market orders and stops, in time priority."""
    account = venue.account[0]
    i = 0
    while i < account.working_count:
        slot = venue.working[i]
        order = venue.orders[slot]
        if order.instrument == instrument and order.order_type != LIMIT and order.arrive_ns < ts_ns:
            n = try_order(venue, out, n, slot, ts_ns)
        if i < account.working_count and venue.working[i] == slot:
            i += 1
    return n


@njit(cache=True)
def meet_trade(
    venue: Venue, instrument: int, tick: int, qty: int, aggressor: int, ts_ns: int, out: np.ndarray, n: int
) -> int:
    """One trade against resting limits (queue, then our own orders in time priority), then against stops.

    `aggressor`: side of the taker, 0 unknown.  Only a taker of the other side works off the queue that we stand in.
    """
    market = venue.markets[instrument]
    market.last_tick = tick
    market.last_ns = ts_ns
    account = venue.account[0]
    if account.working_count == 0:
        return n
    given = 0  # of this trade, to our own orders at its price
    i = 0
    while i < account.working_count:
        slot = venue.working[i]
        order = venue.orders[slot]
        if order.instrument == instrument and order.order_type == LIMIT and order.arrive_ns < ts_ns:
            beyond = (order.price_tick - tick) * order.side
            if beyond > 0:  # traded through
                n = fill(venue, out, n, slot, remaining(venue, slot), order.price_tick, ts_ns)
            elif beyond == 0 and aggressor != order.side and order.ahead != UNSEEN:
                reach = qty - order.ahead - given
                order.ahead = max(0, order.ahead - qty)
                if reach > 0:
                    part = min(reach, remaining(venue, slot))
                    given += part
                    n = fill(venue, out, n, slot, part, order.price_tick, ts_ns)
        if i < account.working_count and venue.working[i] == slot:
            i += 1
    return _try_takers(venue, instrument, out, n, ts_ns)


@njit(cache=True)
def _keep_taken(new_tick: np.ndarray, new_qty: np.ndarray, tick: np.ndarray, qty: np.ndarray, taken: np.ndarray) -> int:
    """Carry what we took over to the new book: kept where price and displayed quantity are unchanged.  1: some is."""
    kept = np.zeros(LEVELS, np.int64)
    some = 0
    for level in range(LEVELS):
        if taken[level] == 0:
            continue
        for other in range(LEVELS):
            if new_tick[other] == tick[level] and new_qty[other] == qty[level]:
                kept[other] = taken[level]
                some = 1
    taken[:] = kept
    return some


@njit(cache=True)
def meet_book(
    venue: Venue, instrument: int, depths: np.ndarray, index: int, ts_ns: int, out: np.ndarray, n: int
) -> int:
    """A new book: queues shrink with their level, then waiting market orders and stops walk it.

    A crossed book is not taken; the last one stands.
    """
    new = depths[index]
    bid, ask = new.bid_tick[0], new.ask_tick[0]
    if bid != NO_TICK and ask != NO_TICK and bid >= ask:
        return n
    market = venue.markets[instrument]
    book = venue.books[instrument]
    if market.taken_any == 1:
        some = _keep_taken(new.bid_tick, new.bid_qty, book.bid_tick, book.bid_qty, venue.taken[instrument, 0])
        also = _keep_taken(new.ask_tick, new.ask_qty, book.ask_tick, book.ask_qty, venue.taken[instrument, 1])
        market.taken_any = max(some, also)
    venue.books[instrument] = new
    market.book_ns = ts_ns
    account = venue.account[0]
    if account.working_count == 0:
        return n
    for i in range(account.working_count):
        order = venue.orders[venue.working[i]]
        if order.instrument == instrument and order.order_type == LIMIT:
            shown = displayed_at(venue, instrument, order.side, order.price_tick)
            if shown != UNSEEN and (order.ahead == UNSEEN or shown < order.ahead):
                order.ahead = shown
    return _try_takers(venue, instrument, out, n, ts_ns)


@njit(cache=True)
def close_out(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int) -> int:
    """The guard's market order: the last known book whatever its age; beyond it, or without one, the last price.

    The remainder fills one slip (at least a tick) worse than the last level or the last trade; nothing known: no fill.
    """
    order = venue.orders[slot]
    market = venue.markets[order.instrument]
    worst = market.last_tick
    if market.book_ns != NO_TIME:
        n = walk(venue, out, n, slot, NO_TICK, ts_ns)
        ticks = venue.books[order.instrument].ask_tick if order.side > 0 else venue.books[order.instrument].bid_tick
        for level in range(LEVELS):
            if ticks[level] != NO_TICK:
                worst = ticks[level]
    if order.filled < order.qty and worst != NO_TICK:
        slip = max(1, fill_ticks(venue, slot, ts_ns, 0, False)) if order.order_type == MARKET else 1
        n = fill(venue, out, n, slot, remaining(venue, slot), worst + order.side * slip, ts_ns)
    return n
