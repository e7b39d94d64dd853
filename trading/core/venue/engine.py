"""The simulated venue's entry points: market data in, requests in, time in; numbered answers out.

Backtest and the venue's process call exactly these.  `out` holds ANSWER_CAPACITY EVENTs; each call returns how many it
wrote.  Requests arrive at their own time plus the venue's latency, in the order in which they were sent; events of the
very instant come before the arrival (MOEX-PAPER-01).  Nothing here reads a clock.
"""

import numpy as np
from numba import njit

from marketdata.core.compiled import borrowed
from marketdata.core.records import (
    BAR,
    BOOK,
    EVENT,
    FLAG_BACKFILL,
    FLAG_CARRIED,
    NO_TICK,
    NO_TIME,
    QUOTE,
    STATUS,
    STATUS_OPEN,
    TRADE,
)
from trading.core import orders as life
from trading.core.records import (
    CANCEL,
    CANCELLED_EXPIRED,
    CANCELLED_ON_REQUEST,
    CANCELLED_UNSENT,
    EXIT,
    INSTRUMENT_CAPACITY,
    MARKET,
    PASSIVE,
    REJECT,
    REJECTED_RATE,
    STOP_LOSS,
    SUBMIT,
)
from trading.core.venue import bars, book, held, slips
from trading.core.venue.answers import acknowledge, bare_answer, cancel, slot_of
from trading.core.venue.requests import free_slot, is_known, place, recall, serve
from trading.core.venue.state import ANSWER_CAPACITY, BY_BAR, BY_BOOK, BY_PRINT, Venue


def new_answers() -> np.ndarray:
    """Buffer for the answers of one call."""
    return np.zeros(ANSWER_CAPACITY, EVENT)


@njit(cache=True)
def _serve_due(venue: Venue, out: np.ndarray, n: int, until_ns: int) -> int:
    """Requests that arrive at or before `until_ns`, in order."""
    account = venue.account[0]
    done = 0
    while done < account.request_count and venue.requests[done].arrive_ns <= until_ns:
        r = venue.requests[done]
        account.now_ns = max(account.now_ns, r.arrive_ns)
        n = serve(venue, r, venue.request_slips[done], out, n)
        done += 1
    if done > 0:
        count = account.request_count
        for i in range(count):
            if i + done < count:
                venue.requests[i] = venue.requests[i + done]
                venue.request_slips[i] = venue.request_slips[i + done]
            else:
                venue.requests[i].arrive_ns = 0
                venue.requests[i].kind = 0
                venue.requests[i].number = 0
                venue.request_slips[i] = 0
        account.request_count -= done
    return n


@njit(cache=True)
def _pass_time(venue: Venue, out: np.ndarray, n: int, until_ns: int) -> int:
    """Requests that arrive and passive children whose time comes by `until_ns`, in order of time; requests first."""
    account = venue.account[0]
    while account.held_count > 0:
        slot = held.next_held(venue)
        due_ns = venue.orders[slot].arrive_ns
        if due_ns > until_ns:
            break
        n = _serve_due(venue, out, n, due_ns)
        account.now_ns = max(account.now_ns, due_ns)
        n = held.release(venue, out, n, slot)
    return _serve_due(venue, out, n, until_ns)


@njit(cache=True)
def _expire(venue: Venue, out: np.ndarray, n: int) -> int:
    """Orders past their good-until time.  On bars and prints a market order waits for its print (MES-BT-11)."""
    account = venue.account[0]
    i = 0
    while i < account.working_count:
        slot = venue.working[i]
        order = venue.orders[slot]
        if account.model != BY_BAR and order.until_ns > 0 and account.now_ns > order.until_ns:
            n = cancel(venue, out, n, slot, account.now_ns, CANCELLED_EXPIRED)
        else:
            i += 1
    return n


@njit(cache=True)
def _meet(venue: Venue, e: np.record, depths: np.ndarray, depth_index: int, ts_ns: int, out: np.ndarray, n: int) -> int:
    """One market event against the fill model of the account."""
    account = venue.account[0]
    market = venue.markets[e.instrument]
    if e.kind == STATUS:
        market.status = e.code
    elif e.kind == BAR:
        if e["flags"] & FLAG_CARRIED == 0 and account.model == BY_BAR:
            bars.take_bar(
                venue, e.instrument, ts_ns - e.value, ts_ns, e.open_tick, e.high_tick, e.low_tick, e.close_tick
            )
            n = bars.meet_bar(venue, e.instrument, out, n)
    elif e.kind == TRADE:
        tick = e.price_tick
        if account.model == BY_BOOK:
            n = book.meet_trade(venue, e.instrument, tick, e.qty, e.side, ts_ns, out, n)
        elif account.model == BY_PRINT:
            bars.take_bar(venue, e.instrument, ts_ns, ts_ns, tick, tick, tick, tick)
            n = bars.meet_bar(venue, e.instrument, out, n)
    elif e.kind == BOOK and account.model == BY_BOOK and depth_index >= 0:
        n = book.meet_book(venue, e.instrument, depths, depth_index, ts_ns, out, n)
    return n


@njit(cache=True)
def market_event(
    venue: Venue, events: np.ndarray, i: int, depths: np.ndarray, depth_index: int, out: np.ndarray
) -> int:
    """One event of the feed, `depths[depth_index]` beside it (−1: none).  Back-fill fills nothing."""
    venue, events, depths, out = borrowed((venue, events, depths, out))
    e = events[i]
    conditional = slips.is_conditional(venue)
    if e.kind == QUOTE or e["flags"] & FLAG_BACKFILL != 0 or e.instrument < 0 or e.instrument >= INSTRUMENT_CAPACITY:
        if conditional:
            slips.hear(venue, e)
        return 0
    account = venue.account[0]
    ts_ns = e.ts_venue_ns
    n = 0
    if account.request_count > 0 or account.held_count > 0:
        n = _pass_time(venue, out, n, ts_ns - 1)
    # an order's good-until is judged on a bar by its start, so the bar comes first
    account.now_ns = max(account.now_ns, ts_ns)
    if account.working_count > 0 and account.model == BY_BOOK:
        n = _expire(venue, out, n)
    n = _meet(venue, e, depths, depth_index, ts_ns, out, n)
    if conditional:
        slips.hear(venue, e)
    return n


@njit(cache=True)
def advance(venue: Venue, now_ns: int, out: np.ndarray) -> int:
    """Time passed: requests due by now arrive, orders past their time end.  No market data is made up."""
    venue, out = borrowed((venue, out))
    account = venue.account[0]
    n = 0
    if account.request_count > 0 or account.held_count > 0:
        n = _pass_time(venue, out, n, now_ns)
    account.now_ns = max(account.now_ns, now_ns)
    if account.working_count > 0:
        n = _expire(venue, out, n)
    return n


@njit(cache=True)
def request(venue: Venue, events: np.ndarray, i: int, out: np.ndarray) -> int:
    """A SUBMIT, CANCEL or MODIFY sent at its ts_ns.  A known order number is no second order: nothing happens.

    Served at once when its time of arrival has come, else queued; a full queue refuses with REJECTED_RATE.
    """
    venue, events, out = borrowed((venue, events, out))
    e = events[i]
    account = venue.account[0]
    if e.kind == SUBMIT and is_known(venue, e.order_number):
        return 0
    if e.kind == SUBMIT and e.order_type == PASSIVE:
        return held.keep(venue, e, out)
    if e.kind == CANCEL and held.is_held(venue, slot_of(venue, e.order_number)):
        return held.drop(venue, out, 0, slot_of(venue, e.order_number), CANCELLED_ON_REQUEST)  # it never left
    if account.request_count == venue.requests.shape[0]:
        return bare_answer(venue, out, 0, REJECT, e.instrument, e.order_number, REJECTED_RATE)
    arrive_ns = e.ts_ns + account.latency_ns
    count = account.request_count
    if count > 0:
        arrive_ns = max(arrive_ns, venue.requests[count - 1].arrive_ns)
    if account.model != BY_BAR:  # on bars an answer to a fill inside the last bar may still take part in it
        arrive_ns = max(arrive_ns, account.now_ns)
    r = venue.requests[count]
    r.arrive_ns = arrive_ns
    r.kind = e.kind
    r.number = e.order_number
    r.instrument = e.instrument
    r.side = e.side
    r.order_type = e.order_type
    r.role = e.role
    r.qty = e.qty
    r.price_tick = e.price_tick
    r.stop_tick = e.stop_tick
    r.until_ns = e.until_ns
    venue.request_slips[count] = slips.asked_ticks(venue, e) if slips.is_conditional(venue) else 0
    account.request_count += 1
    if arrive_ns <= account.now_ns or account.latency_ns == 0:
        return _serve_due(venue, out, 0, arrive_ns)
    return 0


@njit(cache=True)
def next_due_ns(venue: Venue) -> int:
    """Time at which `advance` has something to do; NO_TIME: never."""
    venue = borrowed(venue)
    account = venue.account[0]
    due = venue.requests[0].arrive_ns if account.request_count > 0 else NO_TIME
    if account.held_count > 0:
        starts_ns = venue.orders[held.next_held(venue)].arrive_ns
        due = starts_ns if due == NO_TIME else min(due, starts_ns)
    if account.model != BY_BAR:
        for i in range(account.working_count):
            until_ns = venue.orders[venue.working[i]].until_ns
            if until_ns > 0 and (due == NO_TIME or until_ns + 1 < due):
                due = until_ns + 1
    return due


@njit(cache=True)
def drop_kept(venue: Venue, out: np.ndarray) -> int:
    """The server that kept the passive children is gone: nobody would cover what they fill (MOEX-ROUTE-04)."""
    return held.drop_all(venue, out, 0, CANCELLED_UNSENT)


@njit(cache=True)
def cancel_all(venue: Venue, out: np.ndarray) -> int:
    """Everything that works or is on its way ends (K-02, step 3); where trading is not open, protective stops stay."""
    venue, out = borrowed((venue, out))
    account = venue.account[0]
    n = held.drop_all(venue, out, recall(venue, out, 0), CANCELLED_ON_REQUEST)
    i = 0
    while i < account.working_count:
        slot = venue.working[i]
        order = venue.orders[slot]
        market = venue.markets[order.instrument]
        if market.status != STATUS_OPEN and order.role == STOP_LOSS and order.side * market.qty < 0:
            i += 1
        else:
            n = cancel(venue, out, n, slot, account.now_ns, CANCELLED_ON_REQUEST)
    return n


@njit(cache=True)
def flatten(venue: Venue, out: np.ndarray) -> int:
    """Cancel everything and close every position at once (K-02, step 4).  What cannot be closed stays and is seen."""
    venue, out = borrowed((venue, out))
    account = venue.account[0]
    n = cancel_all(venue, out)
    for instrument in range(INSTRUMENT_CAPACITY):
        market = venue.markets[instrument]
        if market.qty == 0 or market.status != STATUS_OPEN:
            continue
        slot = free_slot(venue)
        if slot < 0:
            break
        account.own_number -= 1
        side = -1 if market.qty > 0 else 1
        now_ns = account.now_ns
        number, qty = account.own_number, abs(market.qty)
        place(venue, slot, number, instrument, side, MARKET, EXIT, qty, NO_TICK, NO_TICK, NO_TIME, now_ns)
        n = acknowledge(venue, out, n, slot, now_ns)
        n = book.close_out(venue, out, n, slot, now_ns)
        if venue.orders[slot].status == life.WORKING:
            n = cancel(venue, out, n, slot, now_ns, CANCELLED_ON_REQUEST)
    return n


@njit(cache=True)
def market_batch(
    venue: Venue, events: np.ndarray, first: int, depths: np.ndarray, depth_of: np.ndarray, out: np.ndarray
) -> tuple[int, int]:
    """Events from index `first` on, up to the first that gave answers.  Returns (index of the next event, answers)."""
    venue, events, depths, out = borrowed((venue, events, depths, out))
    i = first
    while i < events.shape[0]:
        n = market_event(venue, events, i, depths, depth_of[i], out)
        i += 1
        if n > 0:
            return i, n
    return i, 0
