"""Passive children that are not sent yet: kept back by the server of the outbox, priced when their time comes, or
dropped (MOEX-ROUTE-04).

A kept child is an order of status NEW outside the line; nobody trades with it.  At its time it becomes a limit order on
its way, at our own best price then and never beyond its first child's limit.  What is dropped is answered CANCELLED.
Called by the engine; the first child's number is the one before its own.
"""

import numpy as np
from numba import njit

from marketdata.core.records import FLAG_INVALID, NO_TICK, NO_TIME, STATUS_OPEN
from marketdata.core.units import NANOS
from risk.core.shares.routing import PASSIVE_TTL_NS, passive_tick
from trading.core import orders as life
from trading.core.records import CANCELLED_UNSENT, ENTRY, LIMIT, PASSIVE, REJECT, REJECTED_RATE, SUBMIT
from trading.core.venue.answers import answer, bare_answer, cancel, leave_line, slot_of
from trading.core.venue.requests import free_slot, is_known, place, refusal
from trading.core.venue.state import BY_BOOK, Venue

BOOK_AGE_NS_MAX = NANOS  # an older book prices no child


@njit(cache=True)
def keep(venue: Venue, e: np.record, out: np.ndarray) -> int:
    """A passive child's SUBMIT.  Kept until `ts_venue_ns`; what could never stand is rejected at once, what nobody can
    price, or what came after its `until_ns`, is dropped."""
    account = venue.account[0]
    slot = free_slot(venue)
    if slot < 0:
        return bare_answer(venue, out, 0, REJECT, e.instrument, e.order_number, REJECTED_RATE)
    starts_ns = max(e.ts_venue_ns, e.ts_ns, account.now_ns)
    place(  # + 0: fields of two bytes, widened
        venue, slot, e.order_number, e.instrument + 0, e.side + 0, PASSIVE, e.role + 0, e.qty, e.price_tick, NO_TICK,
        e.until_ns, starts_ns,
    )  # fmt: skip
    leave_line(venue, slot)
    order = venue.orders[slot]
    code = refusal(venue, order)
    if code != 0:
        order.status = life.REJECTED
        order.code = code
        return answer(venue, out, 0, REJECT, slot, account.now_ns, code)
    order.status = life.NEW
    account.held_count += 1
    if account.model != BY_BOOK or starts_ns > order.until_ns:
        return drop(venue, out, 0, slot, CANCELLED_UNSENT)
    return 0


@njit(cache=True)
def is_held(venue: Venue, slot: int) -> bool:
    """Whether a slot holds a child that is not sent yet."""
    return slot >= 0 and venue.orders[slot].number > 0 and venue.orders[slot].status == life.NEW


@njit(cache=True)
def open_slots(venue: Venue) -> np.ndarray:
    """Slots of all that is open: working orders in time priority, then the kept children; (n,) int64."""
    account = venue.account[0]
    found = np.empty(account.working_count + account.held_count, np.int64)
    found[: account.working_count] = venue.working[: account.working_count]
    n = account.working_count
    for slot in range(account.orders_used):
        if is_held(venue, slot):
            found[n] = slot
            n += 1
    return found


@njit(cache=True)
def is_sent(venue: Venue, i: int) -> bool:
    """Whether a request on its way is a child that was kept here: the server that sent it still answers for it.  No
    other entry is sent at a limit."""
    r = venue.requests[i]
    return i < venue.account[0].request_count and r.kind == SUBMIT and r.order_type == LIMIT and r.role == ENTRY


@njit(cache=True)
def drop(venue: Venue, out: np.ndarray, n: int, slot: int, code: int) -> int:
    """A kept child ends unsent."""
    account = venue.account[0]
    account.held_count -= 1
    return cancel(venue, out, n, slot, account.now_ns, code)


@njit(cache=True)
def drop_all(venue: Venue, out: np.ndarray, n: int, code: int) -> int:
    """Every kept child ends (K-02), or because whoever kept it is gone."""
    for slot in range(venue.account[0].orders_used):
        if is_held(venue, slot):
            n = drop(venue, out, n, slot, code)
    return n


@njit(cache=True)
def next_held(venue: Venue) -> int:
    """Slot of the kept child whose time comes first, of equals the lower number; −1 when none is kept."""
    found = -1
    for slot in range(venue.account[0].orders_used):
        if not is_held(venue, slot):
            continue
        order = venue.orders[slot]
        if found >= 0:
            first = venue.orders[found]
            later = order.arrive_ns > first.arrive_ns
            if later or (order.arrive_ns == first.arrive_ns and order.number > first.number):
                continue
        found = slot
    return found


@njit(cache=True)
def _price(venue: Venue, slot: int) -> int:
    """Our own best price now, within the first child's limit; NO_TICK without a valid book of the last second."""
    order = venue.orders[slot]
    market = venue.markets[order.instrument]
    if market.status != STATUS_OPEN or market.book_ns == NO_TIME:
        return NO_TICK
    if venue.account[0].now_ns - market.book_ns > BOOK_AGE_NS_MAX:
        return NO_TICK
    if venue.books[order.instrument]["flags"] & FLAG_INVALID:
        return NO_TICK
    bid = venue.books[order.instrument].bid_tick[0]
    ask = venue.books[order.instrument].ask_tick[0]
    if bid == NO_TICK or ask == NO_TICK or not 0 < bid < ask:
        return NO_TICK
    return passive_tick(order.side, bid if order.side > 0 else ask, order.price_tick)


@njit(cache=True)
def _may_go(venue: Venue, slot: int) -> bool:
    """The first child came and was not rejected, no latch stands, and there is room on the way."""
    account = venue.account[0]
    number = venue.orders[slot].number
    first = number - 1
    if number <= account.forgotten:
        return False  # so many orders since that it would be taken for an old one
    if account.blocked == 1 or account.request_count == venue.requests.shape[0] or not is_known(venue, first):
        return False
    at = slot_of(venue, first)
    return at < 0 or venue.orders[at].status != life.REJECTED


@njit(cache=True)
def release(venue: Venue, out: np.ndarray, n: int, slot: int) -> int:
    """The child's time has come (`account.now_ns`): it goes on its way, or is dropped."""
    account = venue.account[0]
    order = venue.orders[slot]
    tick = _price(venue, slot)
    if tick == NO_TICK or not _may_go(venue, slot):
        return drop(venue, out, n, slot, CANCELLED_UNSENT)
    count = account.request_count
    arrive_ns = order.arrive_ns + account.latency_ns
    if count > 0:
        arrive_ns = max(arrive_ns, venue.requests[count - 1].arrive_ns)
    r = venue.requests[count]
    r.arrive_ns = arrive_ns
    r.kind = SUBMIT
    r.number = order.number
    r.instrument = order.instrument
    r.side = order.side
    r.order_type = LIMIT
    r.role = order.role
    r.qty = order.qty
    r.price_tick = tick
    r.stop_tick = NO_TICK
    r.until_ns = order.arrive_ns + PASSIVE_TTL_NS + account.latency_ns  # its cancel takes the latency, too
    venue.request_slips[count] = 0
    account.request_count += 1
    account.held_count -= 1
    order.number = 0  # the number is on its way now
    order.status = life.CANCELLED
    return n
