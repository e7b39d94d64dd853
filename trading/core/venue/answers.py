"""The venue's books: answers written, fills booked, orders put into and taken out of the line of working orders.

Every function takes and returns `n`, the number of answers written so far in this call, and fills `out[n]`.  An
answer's `ref` is the venue's own event number, gapless per account; its time is when the fact happened.  Called by the
fill models.
"""

import numpy as np
from numba import njit

from marketdata.core.units import PPM
from trading.core.effects import blank
from trading.core.orders import CANCELLED as IS_CANCELLED
from trading.core.orders import FILLED as IS_FILLED
from trading.core.records import ACK, CANCELLED, FILL, REJECT
from trading.core.venue.state import Venue


@njit(cache=True)
def fee_of(fee_micros: int, fee_ppm: int, tick_value_micros: int, qty: int, tick: int) -> int:
    """Commission of one fill in micros: per contract, plus parts per million of the value, rounded up to a micro."""
    value = abs(tick) * tick_value_micros * qty
    whole, rest = value // PPM, value % PPM
    return fee_micros * qty + whole * fee_ppm + (rest * fee_ppm + PPM - 1) // PPM


@njit(cache=True)
def bare_answer(venue: Venue, out: np.ndarray, n: int, kind: int, instrument: int, number: int, code: int) -> int:
    """An answer about an order that the venue does not keep."""
    account = venue.account[0]
    account.ref += 1
    blank(out, n, kind, instrument, account.now_ns)
    o = out[n]
    o.ref = account.ref
    o.order_number = number
    o.code = code
    return n + 1


@njit(cache=True)
def answer(venue: Venue, out: np.ndarray, n: int, kind: int, slot: int, ts_ns: int, code: int) -> int:
    """ACK, REJECT or CANCELLED about one order, with its terms; `qty` is the total, of CANCELLED the remainder."""
    account = venue.account[0]
    order = venue.orders[slot]
    account.ref += 1
    blank(out, n, kind, order.instrument, ts_ns)
    o = out[n]
    o.ref = account.ref
    o.order_number = order.number
    o.side = order.side
    o.order_type = order.order_type
    o.role = order.role
    o.code = code
    o.qty = order.qty - order.filled if kind == CANCELLED else order.qty
    o.volume = order.filled
    o.price_tick = order.price_tick
    o.stop_tick = order.stop_tick
    o.until_ns = order.until_ns
    return n + 1


@njit(cache=True)
def acknowledge(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int) -> int:
    """The order is at the venue, as it now stands."""
    return answer(venue, out, n, ACK, slot, ts_ns, 0)


@njit(cache=True)
def reject(venue: Venue, out: np.ndarray, n: int, slot: int, code: int) -> int:
    """A request about a known order is refused; the order stays as it is."""
    return answer(venue, out, n, REJECT, slot, venue.account[0].now_ns, code)


@njit(cache=True)
def line_up(venue: Venue, slot: int) -> None:
    """To the end of the line of working orders."""
    account = venue.account[0]
    venue.working[account.working_count] = slot
    account.working_count += 1


@njit(cache=True)
def leave_line(venue: Venue, slot: int) -> None:
    """Out of the line; what stood behind moves up."""
    account = venue.account[0]
    kept = 0
    for i in range(account.working_count):
        if venue.working[i] != slot:
            venue.working[kept] = venue.working[i]
            kept += 1
    for i in range(kept, account.working_count):
        venue.working[i] = 0  # the same state has the same bytes
    account.working_count = kept


@njit(cache=True)
def cancel(venue: Venue, out: np.ndarray, n: int, slot: int, ts_ns: int, code: int) -> int:
    """End a working order."""
    order = venue.orders[slot]
    order.status = IS_CANCELLED
    order.code = code
    leave_line(venue, slot)
    return answer(venue, out, n, CANCELLED, slot, ts_ns, code)


@njit(cache=True)
def fill(venue: Venue, out: np.ndarray, n: int, slot: int, qty: int, tick: int, ts_ns: int) -> int:
    """Book one fill: never more than the order's remainder."""
    order = venue.orders[slot]
    market = venue.markets[order.instrument]
    qty = min(qty, order.qty - order.filled)
    assert qty > 0
    fee = fee_of(market.fee_micros, market.fee_ppm, market.tick_value_micros, qty, tick)
    order.filled += qty
    market.qty += order.side * qty
    market.cash_ticks -= order.side * qty * tick
    market.fees_micros += fee
    n = answer(venue, out, n, FILL, slot, ts_ns, 0)
    o = out[n - 1]
    o.qty = qty
    o.price_tick = tick
    o.fee_micros = fee
    if order.filled == order.qty:
        order.status = IS_FILLED
        leave_line(venue, slot)
    return n


@njit(cache=True)
def remaining(venue: Venue, slot: int) -> int:
    """What is still to fill."""
    return venue.orders[slot].qty - venue.orders[slot].filled


@njit(cache=True)
def slot_of(venue: Venue, number: int) -> int:
    """Slot of an order number; −1 when it is not kept."""
    for slot in range(venue.account[0].orders_used):
        if venue.orders[slot].number == number:
            return slot
    return -1
