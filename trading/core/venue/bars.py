"""Fills on bars, and on single prints as one-price bars (MES-BT-10 … MES-BT-14, MES-BT-20, MES-LIVE-13).

Market orders take the open, slipped against them; stops the worse of stop and open, slipped; limits their own price.
Whole orders fill.  Within one bar: market exits, market entries, stops, then limits, each in time priority; a stop or
target fills only while the account still holds what it reduces: a bar that reaches both is the stop's, and one at whose
open the position was closed opens no other.
"""

import numpy as np
from numba import njit

from marketdata.core.records import NO_TIME
from trading.core.records import CANCELLED_EXPIRED, ENTRY, LIMIT, MARKET, STOP, STOP_LOSS, TARGET
from trading.core.venue.answers import cancel, fill, remaining
from trading.core.venue.slips import fill_ticks
from trading.core.venue.state import Venue

OPEN_SHARE = 4  # an order that arrives within the first quarter of a bar takes part in it; a later one in the next
EXITS, ENTRIES, STOPS, LIMITS = range(4)  # stages within one bar (MES-BT-02, steps 2 and 3)
STAGES = 4


@njit(cache=True)
def _stop_price(side: int, stop_tick: int, open_tick: int, slip_ticks: int) -> int:
    """The worse of stop and open, then slippage (MES-BT-12)."""
    if side > 0:
        return max(stop_tick, open_tick) + slip_ticks
    return min(stop_tick, open_tick) - slip_ticks


@njit(cache=True)
def _reached(side: int, order_type: int, tick: int, high: int, low: int, touch: int) -> bool:
    """Whether a bar's range triggers this stop or fills this limit."""
    if order_type == STOP:
        return high >= tick if side > 0 else low <= tick
    through = 0 if touch == 1 else 1  # one tick beyond (MES-BT-13)
    return low <= tick - through if side > 0 else high >= tick + through


@njit(cache=True)
def latest_arrival(start_ns: int, end_ns: int) -> int:
    """Orders that arrived up to this time take part in the bar.  A print (start = end) must come after the order."""
    if end_ns == start_ns:
        return start_ns - 1
    return start_ns + (end_ns - start_ns) // OPEN_SHARE


@njit(cache=True)
def try_order(venue: Venue, out: np.ndarray, n: int, slot: int) -> int:
    """Test one working order against the last bar of its instrument, once."""
    account = venue.account[0]
    order = venue.orders[slot]
    market = venue.markets[order.instrument]
    start_ns, end_ns = market.bar_start_ns, market.bar_end_ns
    if start_ns == NO_TIME or order.tested_ns >= end_ns or order.arrive_ns > latest_arrival(start_ns, end_ns):
        return n
    order.tested_ns = end_ns
    if order.until_ns > 0 and start_ns > order.until_ns:
        return cancel(venue, out, n, slot, start_ns, CANCELLED_EXPIRED)
    qty = remaining(venue, slot)
    if order.order_type == MARKET:
        tick = market.bar_open + order.side * fill_ticks(venue, slot, start_ns, end_ns - start_ns, True)
        return fill(venue, out, n, slot, qty, tick, max(start_ns, order.arrive_ns))
    if (order.role == TARGET or order.role == STOP_LOSS) and market.qty * order.side >= 0:
        return n  # what it protects has gone within this bar: by an exit at the open, or by the stop (MES-BT-14)
    if order.order_type == STOP:
        if _reached(order.side, STOP, order.stop_tick, market.bar_high, market.bar_low, 0):
            slip = fill_ticks(venue, slot, start_ns, end_ns - start_ns, True)
            tick = _stop_price(order.side, order.stop_tick, market.bar_open, slip)
            n = fill(venue, out, n, slot, qty, tick, end_ns)
    elif _reached(order.side, LIMIT, order.price_tick, market.bar_high, market.bar_low, account.touch):
        n = fill(venue, out, n, slot, qty, order.price_tick, end_ns)
    return n


@njit(cache=True)
def stage_of(order_type: int, role: int) -> int:
    """Place of an order in the sequence within one bar."""
    if order_type == MARKET:
        return ENTRIES if role == ENTRY else EXITS
    return STOPS if order_type == STOP else LIMITS


@njit(cache=True)
def meet_stage(venue: Venue, instrument: int, stage: int, out: np.ndarray, n: int) -> int:
    """The working orders of one stage and instrument against its last bar, in time priority."""
    account = venue.account[0]
    i = 0
    while i < account.working_count:
        slot = venue.working[i]
        order = venue.orders[slot]
        if order.instrument == instrument and stage_of(order.order_type, order.role) == stage:
            n = try_order(venue, out, n, slot)
        if i < account.working_count and venue.working[i] == slot:
            i += 1  # still in line; else the next one has moved up
    return n


@njit(cache=True)
def meet_bar(venue: Venue, instrument: int, out: np.ndarray, n: int) -> int:
    """All working orders of one instrument against its last bar."""
    if venue.account[0].working_count == 0:
        return n
    for stage in range(STAGES):
        n = meet_stage(venue, instrument, stage, out, n)
    return n


@njit(cache=True)
def take_bar(
    venue: Venue, instrument: int, start_ns: int, end_ns: int, open_tick: int, high: int, low: int, close: int
) -> None:
    """Remember a printed bar; a print is a bar of no length."""
    market = venue.markets[instrument]
    market.bar_start_ns = start_ns
    market.bar_end_ns = end_ns
    market.bar_open = open_tick
    market.bar_high = high
    market.bar_low = low
    market.last_tick = close
    market.last_ns = end_ns
