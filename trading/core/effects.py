"""Writing outputs: orders sent, holds raised and cleared.  Called by the kernel's other files only.

Every function takes and returns `n`, the number of outputs written so far in this step, and fills `out[n]`.
The kernel stamps seq and time on all of them at the end of the step.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import ACCOUNT_SCOPE, NO_TICK, NO_TIME
from marketdata.core.units import NANOS
from risk.core.holds import BIT, KNOWN_MASK, TIME_MASK
from trading.core import orders as life
from trading.core.records import (
    CANCEL,
    HOLD_CLEARED,
    HOLD_RAISED,
    MARKET,
    MODIFY,
    ORDER_STATE,
    QUERY,
    RECEIPT,
    RECEIPT_DONE,
    RECEIPT_REFUSED,
    STOP,
    SUBMIT,
    State,
)

SLOTS_KEPT = 64  # terminal orders remembered before their slots are used again
CANCEL_RETRIES = 3  # of a cancel without a proof, before a person is called (W-08)
_UNPROVEN = BIT["CANCEL_UNPROVEN"]


@inner
def blank(out: np.ndarray, n: int, kind: int, instrument: int, now_ns: int) -> None:
    """Reset out[n] to an output that says nothing but its kind, so that no byte of an earlier step remains."""
    o = out[n]
    o.seq = 0
    o.ts_ns = now_ns
    o.ts_venue_ns = now_ns
    o.kind = kind
    o.instrument = instrument
    o.side = 0
    o.code = 0
    o.order_type = 0
    o.role = 0
    o["flags"] = 0
    o.order_number = 0
    o.ref = 0
    o.qty = 0
    o.price_tick = NO_TICK
    o.bid_tick = NO_TICK
    o.ask_tick = NO_TICK
    o.bid_qty = 0
    o.ask_qty = 0
    o.open_tick = NO_TICK
    o.high_tick = NO_TICK
    o.low_tick = NO_TICK
    o.close_tick = NO_TICK
    o.volume = 0
    o.score_ppm = 0
    o.confidence_ppm = 0
    o.fee_micros = 0
    o.until_ns = 0
    o.value = 0
    o.stop_tick = NO_TICK
    o.target_tick = NO_TICK


@inner
def count_message(state: State) -> None:
    """One message to the venue, for P-17."""
    account = state.account[0]
    second = account.now_ns // NANOS
    roll_messages(state, second)
    account.messages[second % 60] += 1


@inner
def roll_messages(state: State, second: int) -> None:
    """Forget the seconds that left the 60-second window."""
    account = state.account[0]
    if second - account.messages_at_s >= 60:
        for i in range(60):
            account.messages[i] = 0
    else:
        at = account.messages_at_s % 60
        for _ in range(second - account.messages_at_s):
            at = at + 1 if at < 59 else 0
            account.messages[at] = 0
    account.messages_at_s = max(second, account.messages_at_s)


@inner
def order_effect(state: State, out: np.ndarray, n: int, kind: int, slot: int) -> int:
    """One message about an order (SUBMIT, CANCEL, MODIFY, QUERY) or a row about it (ORDER_STATE)."""
    order = state.orders[slot]
    blank(out, n, kind, order.instrument, state.account[0].now_ns)
    o = out[n]
    o.side = order.side
    o.order_type = order.order_type
    o.role = order.role
    o.order_number = order.number
    o.code = order.status
    o.value = order.request
    o.qty = order.qty
    o.price_tick = order.price_tick
    o.stop_tick = order.stop_tick
    o.until_ns = order.until_ns
    o.ref = order.version
    o.volume = order.filled
    if kind == MODIFY:
        o.qty = order.asked_qty
        if order.order_type == STOP:
            o.stop_tick = order.asked_tick
        else:
            o.price_tick = order.asked_tick
    if kind != ORDER_STATE:
        order.sent_ns = state.account[0].now_ns
        count_message(state)
    return n + 1


@inner
def slot_of(state: State, number: int) -> int:
    """Slot of an order number; −1 when it is not remembered."""
    for k in range(state.account[0].open_count):  # nearly always one of these
        slot = state.account[0].open_slots[k]
        if state.orders[slot].number == number:
            return slot
    for slot in range(state.account[0].orders_used):
        if state.orders[slot].number == number:
            return slot
    return -1


@inner
def list_open(state: State) -> None:
    """Write down which slots hold open orders.  After an order became open, which happens in `submit` and at a
    reconciliation alone; one that ended since may still be among them, so whoever reads the list asks the order.

    Of the slots ever used nearly all hold orders that have ended, and a dozen places of a step look for the others.
    """
    account = state.account[0]
    count = 0
    for slot in range(account.orders_used):
        if state.orders[slot].number > 0 and life.is_open(state.orders[slot].status):
            account.open_slots[count] = slot
            count += 1
    for k in range(count, account.open_count):
        account.open_slots[k] = 0  # the same state has the same bytes
    account.open_count = count


@inner
def free_slot(state: State) -> int:
    """A slot for a new order: a fresh one, else that of the oldest terminal order; −1 when all are open."""
    account = state.account[0]
    if account.orders_used < SLOTS_KEPT:
        account.orders_used += 1
        return account.orders_used - 1
    oldest = -1
    for slot in range(account.orders_used):
        order = state.orders[slot]
        if not life.is_open(order.status) and (oldest < 0 or order.number < state.orders[oldest].number):
            oldest = slot
    if oldest < 0 and account.orders_used < state.orders.shape[0]:
        account.orders_used += 1
        return account.orders_used - 1
    return oldest


@inner
def submit(
    state: State,
    out: np.ndarray,
    n: int,
    instrument: int,
    side: int,
    order_type: int,
    role: int,
    qty: int,
    tick: int,
    until_ns: int,
    reason: int,
) -> int:
    """Make an order and send it.  `tick` is the stop or limit price, ignored for market orders."""
    slot = free_slot(state)
    assert slot >= 0  # the open-order cap of the gate is far below the capacity
    account = state.account[0]
    order = state.orders[slot]
    order.number = account.next_order
    order.instrument = instrument
    order.side = side
    order.order_type = order_type
    order.role = role
    order.status = life.NEW
    order.request = life.SUBMITTING
    order.reason = reason
    order.tries = 0
    order.qty = qty
    order.filled = 0
    order.price_tick = NO_TICK if order_type == STOP or order_type == MARKET else tick
    order.stop_tick = tick if order_type == STOP else NO_TICK
    order.asked_qty = qty
    order.asked_tick = tick
    order.until_ns = until_ns
    order.version = account.version
    order.seen = 0
    order.modify_retry_ns = NO_TIME
    order.cancel_retry_ns = NO_TIME
    order.made_ns = account.now_ns
    order.ending = 0
    account.next_order += 1
    account.submits += 1
    list_open(state)
    return order_effect(state, out, n, SUBMIT, slot)


@inner
def ask_cancel(state: State, out: np.ndarray, n: int, slot: int) -> int:
    """Ask to cancel an open order; nothing when a cancel or a query is in flight or one was refused just now."""
    order = state.orders[slot]
    if order.request == life.CANCELLING or order.status == life.UNKNOWN:
        return n
    if state.account[0].now_ns < order.cancel_retry_ns:
        return n
    if life.advance(order, life.ASK_CANCEL):
        n = order_effect(state, out, n, CANCEL, slot)
        n = order_effect(state, out, n, ORDER_STATE, slot)
        order.ending += 1
        n = _prove_end(state, out, n, order)
    return n


@inner
def _prove_end(state: State, out: np.ndarray, n: int, order: np.record) -> int:
    """W-08: an end is the venue's word.  A cancel and three retries, or questions after it, without one call a person;
    the asking goes on."""
    if order.ending <= 1 + CANCEL_RETRIES:
        return n
    return raise_hold(state, out, n, _UNPROVEN, NO_TIME, order.number, CANCEL_RETRIES)


@inner
def watch_proofs(state: State, out: np.ndarray, n: int) -> int:
    """CANCEL_UNPROVEN ends with the venue's word that each of those orders has ended.  After what may end one."""
    account = state.account[0]
    if account.holds >> _UNPROVEN & 1 == 0:
        return n
    for k in range(account.open_count):
        order = state.orders[account.open_slots[k]]
        if life.is_open(order.status) and order.ending > 1 + CANCEL_RETRIES:
            return n
    return clear_hold(state, out, n, _UNPROVEN)


@inner
def ask_modify(state: State, out: np.ndarray, n: int, slot: int, qty: int, tick: int) -> int:
    """Ask to change total quantity and price; nothing while a request is in flight or after a refusal just now."""
    order = state.orders[slot]
    if state.account[0].now_ns < order.modify_retry_ns:
        return n
    if life.advance(order, life.ASK_MODIFY):
        order.asked_qty = qty
        order.asked_tick = tick
        n = order_effect(state, out, n, MODIFY, slot)
    return n


@inner
def ask_query(state: State, out: np.ndarray, n: int, slot: int) -> int:
    """Ask the venue what became of an order (W-01)."""
    order = state.orders[slot]
    if life.advance(order, life.ASK_QUERY):
        if order.tries < 30_000:
            order.tries += 1
        n = order_effect(state, out, n, QUERY, slot)
        n = order_effect(state, out, n, ORDER_STATE, slot)
        if order.ending > 0:
            order.ending += 1
            n = _prove_end(state, out, n, order)
    return n


@inner
def ask_missed_answers(state: State, out: np.ndarray, n: int) -> int:
    """The venue's event numbers have a gap: ask for everything after the last one applied."""
    blank(out, n, QUERY, ACCOUNT_SCOPE, state.account[0].now_ns)
    out[n].ref = state.account[0].venue_ref
    count_message(state)
    return n + 1


@inner
def receipt(state: State, out: np.ndarray, n: int, command: int, ref: int, refusal: int) -> int:
    """What became of a command: done, or refused for a reason of `states.REFUSALS` (0: done)."""
    blank(out, n, RECEIPT, ACCOUNT_SCOPE, state.account[0].now_ns)
    o = out[n]
    o.code = RECEIPT_DONE if refusal == 0 else RECEIPT_REFUSED
    o.ref = ref
    o.value = command
    o.qty = refusal
    return n + 1


@inner
def raise_hold(state: State, out: np.ndarray, n: int, bit: int, until_ns: int, value: int, limit: int) -> int:
    """Put a hold up.  Standing already: a TIME hold may get longer, never shorter; nothing else changes.

    A hold that the rulebook of this session does not have is not raised.
    """
    account = state.account[0]
    hold = state.holds[bit]
    if KNOWN_MASK[account.rules] >> bit & 1 == 0:
        return n
    if TIME_MASK[account.rules] >> bit & 1 and until_ns < account.clock_ns:
        account.clock_ns = until_ns
    if account.holds >> bit & 1:
        if TIME_MASK[account.rules] >> bit & 1 and until_ns > hold.until_ns:
            hold.until_ns = until_ns
        return n
    account.holds |= 1 << bit
    hold.since_ns = account.now_ns
    hold.until_ns = until_ns
    hold.value = value
    hold.limit = limit
    hold.raised += 1
    return _hold_row(state, out, n, HOLD_RAISED, bit)


@inner
def clear_hold(state: State, out: np.ndarray, n: int, bit: int) -> int:
    """Take one hold down; every other stays."""
    account = state.account[0]
    if account.holds >> bit & 1 == 0:
        return n
    account.holds &= ~(1 << bit)
    n = _hold_row(state, out, n, HOLD_CLEARED, bit)
    state.holds[bit].until_ns = NO_TIME
    return n


@inner
def renew_hold(state: State, out: np.ndarray, n: int, bit: int, until_ns: int) -> int:
    """A standing hold gets another end: the old one is over, the same stands anew, in rows.  It never came down."""
    hold = state.holds[bit]
    if hold.until_ns == until_ns:
        return n
    n = _hold_row(state, out, n, HOLD_CLEARED, bit)
    hold.until_ns = until_ns
    return _hold_row(state, out, n, HOLD_RAISED, bit)


@inner
def _hold_row(state: State, out: np.ndarray, n: int, kind: int, bit: int) -> int:
    hold = state.holds[bit]
    blank(out, n, kind, ACCOUNT_SCOPE, state.account[0].now_ns)
    o = out[n]
    o.code = bit
    o.until_ns = hold.until_ns
    o.value = hold.value
    o.volume = hold.limit
    return n + 1


@inner
def set_condition(state: State, out: np.ndarray, n: int, bit: int, on: bool, value: int, limit: int) -> int:
    """A CONDITION hold follows its condition."""
    if on:
        return raise_hold(state, out, n, bit, NO_TIME, value, limit)
    return clear_hold(state, out, n, bit)


@inner
def hold_on(state: State, out: np.ndarray, n: int, instrument: int, bit: int, on: bool, value: int, limit: int) -> int:
    """A hold of one instrument follows its condition; its row names the instrument.  The account's label stays.

    A hold that the rulebook of this session does not have is not raised.
    """
    account = state.account[0]
    p = state.positions[instrument]
    standing = p.holds >> bit & 1 == 1
    if on == standing or KNOWN_MASK[account.rules] >> bit & 1 == 0:
        return n
    if on:
        p.holds |= 1 << bit
    else:
        p.holds &= ~(1 << bit)
    blank(out, n, HOLD_RAISED if on else HOLD_CLEARED, instrument, account.now_ns)
    o = out[n]
    o.code = bit
    o.until_ns = NO_TIME
    o.value = value
    o.volume = limit
    return n + 1
