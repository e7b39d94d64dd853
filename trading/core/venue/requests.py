"""What arrives at the venue: submits, cancels and modifications, and the place that an order gets in line.

Called by the engine when a request's time has come; never looks at a clock.  A known order number never makes a second
order.  Quantities are totals: a modification to `qty` leaves `qty - filled` working.
"""

import numpy as np
from numba import njit

from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import QTY_MAX, TICK_MAX
from trading.core import orders as life
from trading.core.records import (
    BEST_PRICE,
    CANCEL,
    CANCELLED_ON_REQUEST,
    ENTRY,
    FILL_AND_KILL,
    INSTRUMENT_CAPACITY,
    LIMIT,
    MARKET,
    MODIFY,
    PASSIVE,
    REJECT,
    REJECTED_BY_VENUE,
    REJECTED_LATCHED,
    REJECTED_RATE,
    REJECTED_UNKNOWN_ORDER,
    STOP,
    SUBMIT,
)
from trading.core.venue import bars, book
from trading.core.venue.answers import acknowledge, bare_answer, cancel, leave_line, line_up, reject, slot_of
from trading.core.venue.state import BY_BOOK, UNSEEN, Venue


@njit(cache=True)
def is_known(venue: Venue, number: int) -> bool:
    """Whether this order number was ever submitted, as far as the venue can tell."""
    if number <= venue.account[0].forgotten or slot_of(venue, number) >= 0:
        return True
    for i in range(venue.account[0].request_count):
        if venue.requests[i].number == number and venue.requests[i].kind == SUBMIT:
            return True
    return False


@njit(cache=True)
def free_slot(venue: Venue) -> int:
    """A fresh slot, else that of the oldest terminal order; −1 when all orders work or are kept back."""
    account = venue.account[0]
    if account.orders_used < venue.orders.shape[0]:
        account.orders_used += 1
        return account.orders_used - 1
    oldest = -1
    for slot in range(account.orders_used):
        order = venue.orders[slot]
        if order.status == life.WORKING or order.status == life.NEW:
            continue
        if oldest < 0 or abs(order.number) < abs(venue.orders[oldest].number):
            oldest = slot
    if oldest >= 0:
        account.forgotten = max(account.forgotten, venue.orders[oldest].number)
    return oldest


@njit(cache=True)
def place(
    venue: Venue,
    slot: int,
    number: int,
    instrument: int,
    side: int,
    order_type: int,
    role: int,
    qty: int,
    price_tick: int,
    stop_tick: int,
    until_ns: int,
    arrive_ns: int,
) -> None:
    """Fill a slot and put it in line."""
    order = venue.orders[slot]
    order.number = number
    order.instrument = instrument
    order.side = side
    order.order_type = order_type
    order.role = role
    order.status = life.WORKING
    order.code = 0
    order.qty = qty
    order.filled = 0
    order.price_tick = price_tick
    order.stop_tick = stop_tick
    order.arrive_ns = arrive_ns
    order.until_ns = until_ns
    order.ahead = UNSEEN
    order.tested_ns = NO_TIME
    order.triggered = 0
    venue.order_slips[slot] = 0
    line_up(venue, slot)


@njit(cache=True)
def refusal(venue: Venue, r: np.record) -> int:
    """Why a submit cannot stand; 0: it can."""
    if venue.account[0].blocked == 1:
        return REJECTED_LATCHED
    if r.instrument < 0 or r.instrument >= INSTRUMENT_CAPACITY or venue.markets[r.instrument].known != 1:
        return REJECTED_BY_VENUE
    if (r.side != 1 and r.side != -1) or r.qty <= 0 or r.qty > QTY_MAX or r.number <= 0:
        return REJECTED_BY_VENUE
    if r.order_type == LIMIT or r.order_type == FILL_AND_KILL or r.order_type == PASSIVE:
        return 0 if r.price_tick != NO_TICK and abs(r.price_tick) <= TICK_MAX else REJECTED_BY_VENUE
    if r.order_type == STOP:
        return 0 if r.stop_tick != NO_TICK and abs(r.stop_tick) <= TICK_MAX else REJECTED_BY_VENUE
    return 0 if r.order_type == MARKET or r.order_type == BEST_PRICE else REJECTED_BY_VENUE


@njit(cache=True)
def meet_market(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int) -> int:
    """A new or changed order meets the market as it stands; on bars, the bar that it arrived early enough for."""
    if venue.account[0].model == BY_BOOK:
        return book.arrive(venue, out, n, slot, ts_ns)
    return bars.try_order(venue, out, n, slot)


@njit(cache=True)
def _served_as(venue: Venue, r: np.record) -> int:
    """Bars and prints show no book to walk: an entry by a limit waits for it, an exit goes at market."""
    if venue.account[0].model == BY_BOOK or (r.order_type != FILL_AND_KILL and r.order_type != BEST_PRICE):
        return r.order_type
    return LIMIT if r.order_type == FILL_AND_KILL and r.role == ENTRY else MARKET


@njit(cache=True)
def _submit(venue: Venue, r: np.record, slip_ticks: int, out: np.ndarray, n: int) -> int:
    if r.number <= venue.account[0].forgotten or slot_of(venue, r.number) >= 0:
        return n
    code = refusal(venue, r)
    slot = -1
    if code == 0:
        slot = free_slot(venue)
        code = 0 if slot >= 0 else REJECTED_RATE
    if code != 0:
        n = bare_answer(venue, out, n, REJECT, r.instrument, r.number, code)
        return _keep_rejected(venue, r, code, n)
    place(
        venue,
        slot,
        r.number,
        r.instrument,
        r.side,
        _served_as(venue, r),
        r.role,
        r.qty,
        r.price_tick,
        r.stop_tick,
        r.until_ns,
        r.arrive_ns,
    )
    venue.order_slips[slot] = slip_ticks
    n = acknowledge(venue, out, n, slot, r.arrive_ns)
    return meet_market(venue, out, n, slot, r.arrive_ns)


@njit(cache=True)
def _keep_rejected(venue: Venue, r: np.record, code: int, n: int) -> int:
    """A rejected number stays known, so that sending it again never makes an order."""
    slot = free_slot(venue)
    if slot >= 0:
        place(venue, slot, r.number, 0, r.side, r.order_type, r.role, r.qty, NO_TICK, NO_TICK, r.until_ns, r.arrive_ns)
        leave_line(venue, slot)
        venue.orders[slot].status = life.REJECTED
        venue.orders[slot].code = code
    return n


@njit(cache=True)
def _cancel(venue: Venue, r: np.record, out: np.ndarray, n: int) -> int:
    slot = slot_of(venue, r.number)
    if slot < 0:
        return bare_answer(venue, out, n, REJECT, r.instrument, r.number, REJECTED_UNKNOWN_ORDER)
    if venue.orders[slot].status != life.WORKING:
        return reject(venue, out, n, slot, REJECTED_BY_VENUE)
    return cancel(venue, out, n, slot, r.arrive_ns, CANCELLED_ON_REQUEST)


@njit(cache=True)
def _modify(venue: Venue, r: np.record, out: np.ndarray, n: int) -> int:
    """New total quantity and price.  A new price or more quantity goes to the end of the queue."""
    slot = slot_of(venue, r.number)
    if slot < 0:
        return bare_answer(venue, out, n, REJECT, r.instrument, r.number, REJECTED_UNKNOWN_ORDER)
    order = venue.orders[slot]
    tick = r.stop_tick if order.order_type == STOP else r.price_tick
    old = order.stop_tick if order.order_type == STOP else order.price_tick
    priced = order.order_type != MARKET
    if (
        order.status != life.WORKING
        or order.triggered == 1
        or r.qty <= order.filled
        or r.qty > QTY_MAX
        or (priced and (tick == NO_TICK or abs(tick) > TICK_MAX))
    ):
        return reject(venue, out, n, slot, REJECTED_BY_VENUE)
    moved = priced and tick != old
    grown = r.qty > order.qty
    order.qty = r.qty
    if order.order_type == STOP:
        order.stop_tick = tick
    elif order.order_type == LIMIT:
        order.price_tick = tick
    if moved or grown:
        leave_line(venue, slot)
        line_up(venue, slot)
        order.arrive_ns = r.arrive_ns
        order.ahead = UNSEEN
    n = acknowledge(venue, out, n, slot, r.arrive_ns)
    return meet_market(venue, out, n, slot, r.arrive_ns) if moved or grown else n


@njit(cache=True)
def serve(venue: Venue, r: np.record, slip_ticks: int, out: np.ndarray, n: int) -> int:
    """One request whose time has come.  `slip_ticks`: see Venue.request_slips."""
    if r.kind == SUBMIT:
        return _submit(venue, r, slip_ticks, out, n)
    if r.kind == CANCEL:
        return _cancel(venue, r, out, n)
    if r.kind == MODIFY:
        return _modify(venue, r, out, n)
    return n


@njit(cache=True)
def recall(venue: Venue, out: np.ndarray, n: int) -> int:
    """Requests still on their way are dropped; their submits are answered as cancelled (K-02: stray orders too)."""
    account = venue.account[0]
    for i in range(account.request_count):
        r = venue.requests[i]
        if r.kind == SUBMIT:
            slot = free_slot(venue)
            if slot < 0:
                continue
            place(
                venue,
                slot,
                r.number,
                r.instrument if 0 <= r.instrument < INSTRUMENT_CAPACITY else 0,
                r.side,
                r.order_type,
                r.role,
                r.qty,
                r.price_tick,
                r.stop_tick,
                r.until_ns,
                r.arrive_ns,
            )
            n = cancel(venue, out, n, slot, account.now_ns, CANCELLED_ON_REQUEST)
    for i in range(account.request_count):
        venue.requests[i].arrive_ns = 0
        venue.requests[i].kind = 0
        venue.requests[i].number = 0
    account.request_count = 0
    return n
