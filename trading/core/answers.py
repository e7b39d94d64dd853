"""What the venue says: acknowledgements, fills, rejections, cancels, unknown outcomes.

Answers carry the venue's own gapless event number; one that was applied already is ignored, a gap is asked for and
entries wait.  Fills are booked whatever the state of their order says (W-09).
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import QTY_MAX, TICK_MAX
from risk.core.holds import BIT
from risk.core.records import ANCHOR_SIGNAL
from risk.core.shares.routing import BESTPRICE_ONLY, LIMIT_ONLY
from risk.core.stops import target_ticks
from trading.core import ledger
from trading.core import orders as life
from trading.core.bracket import forget_legs, stop_refused, stop_works, target_refused, target_works
from trading.core.effects import ask_missed_answers, blank, order_effect, raise_hold, slot_of
from trading.core.protect import BY_EXCESS, BY_REVERSAL, BY_STOP, RETRY_NS, close, left, name_reason, pace_exit
from trading.core.records import (
    ACK,
    CANCELLED,
    ENTRY,
    EXIT,
    FILL,
    HEDGE,
    ORDER_STATE,
    PASSIVE,
    REJECT,
    REJECTED_BEST_ONLY,
    REJECTED_LIMIT_ONLY,
    REJECTED_UNKNOWN_ORDER,
    STOP,
    STOP_LOSS,
    TARGET,
    TRADE_CLOSED,
    Params,
    State,
)
from trading.core.watch.limits import note_loss
from trading.core.watch.routes import is_hedge, routed
from trading.core.watch.shares import by_formula, on_entry_fill

_UNREADABLE = BIT["STATE_UNREADABLE"]


@inner
def on_answer(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """ACK, FILL, REJECT, CANCELLED or UNKNOWN_OUTCOME.  Returns the output count."""
    account = state.account[0]
    if e.ref != 0:
        if e.ref <= account.venue_ref:
            return n  # delivered before
        if e.ref > account.venue_ref + 1:
            account.reconciled = 0
            return ask_missed_answers(state, out, n)
        account.venue_ref = e.ref
    slot = slot_of(state, e.order_number)
    if e.kind == FILL:
        n = _fill(state, params, e, slot, out, n)
    elif slot >= 0:
        n = _answer(state, params, e, slot, out, n)
    else:
        account.stale_answers += 1
    return n


@inner
def _answer(state: State, params: Params, e: np.record, slot: int, out: np.ndarray, n: int) -> int:
    account = state.account[0]
    order = state.orders[slot]
    position = state.positions[order.instrument]
    asked = order.request
    if e.kind == ACK:
        # a report on a child that its server may keep: the venue's answer to its submit is to come (MOEX-ROUTE-04)
        kept = order.order_type == PASSIVE and order.status == life.UNKNOWN and e.ref == 0
        trigger = life.ON_SEEN if kept else life.ON_ACK
    elif e.kind == REJECT:
        reported = order.request == life.QUERYING and e.ref == 0 and e.code == REJECTED_UNKNOWN_ORDER
        trigger = life.ON_ABSENT if reported else life.ON_REJECT
    elif e.kind == CANCELLED:
        trigger = life.ON_CANCELLED
    else:
        trigger = life.ON_UNKNOWN
    was_open = life.is_open(order.status)
    if not life.advance(order, trigger):
        account.stale_answers += 1
        return n
    if e.kind == ACK and asked == life.MODIFYING:
        order.qty = order.asked_qty
        if order.order_type == STOP:
            order.stop_tick = order.asked_tick
        else:
            order.price_tick = order.asked_tick
    if e.kind == ACK and order.order_type == PASSIVE and e.price_tick != NO_TICK:
        order.price_tick = e.price_tick  # the server of the outbox named it when it sent the order (MOEX-ROUTE-04)
    if e.kind == ACK and order.role == TARGET:
        target_works(position, order)
    elif e.kind == ACK and order.role == STOP_LOSS:
        stop_works(position, order)
    if e.kind == REJECT and life.is_open(order.status):  # a request about it was refused: each retry costs a message
        if asked != life.CANCELLING:
            order.modify_retry_ns = account.now_ns + RETRY_NS
        if asked != life.MODIFYING:
            order.cancel_retry_ns = account.now_ns + RETRY_NS
        if asked == life.MODIFYING and order.role == TARGET:
            n = target_refused(state, position, order, asked, out, n)
        elif asked == life.MODIFYING and order.role == STOP_LOSS:
            n = stop_refused(state, position, order, out, n)
    if was_open and not life.is_open(order.status):
        if order.role == EXIT:
            pace_exit(params, position, order)
        if e.kind == REJECT:
            n = _refused(state, position, order, asked, e.code, out, n)
    return order_effect(state, out, n, ORDER_STATE, slot)


@inner
def _refused(
    state: State, position: np.record, order: np.record, asked: int, code: int, out: np.ndarray, n: int
) -> int:
    """A refused order delays the next of its own role alone: no refusal of another withholds an exit (K-02).

    Where the venue takes one type of order alone, the next attempt to leave is of that type (MOEX-ROUTE-03).
    """
    role = order.role
    if role == EXIT and code == REJECTED_LIMIT_ONLY:
        position.exit_allowed = LIMIT_ONLY
    elif role == EXIT and code == REJECTED_BEST_ONLY:
        position.exit_allowed = BESTPRICE_ONLY
    if role == TARGET:
        n = target_refused(state, position, order, asked, out, n)
    elif role == STOP_LOSS and position.qty != 0:
        close(position, BY_STOP)  # a refused stop means out at once, not uncovered (MES-LIVE-08)
        position.exit_retry_ns = state.account[0].now_ns
    return n


@inner
def _fill(state: State, params: Params, e: np.record, slot: int, out: np.ndarray, n: int) -> int:
    account = state.account[0]
    if e.qty <= 0:  # nothing was traded: not a fill, whatever it is
        return raise_hold(state, out, n, _UNREADABLE, NO_TIME, e.qty, 1)
    if not _sensible(state, params, e, slot):  # what it did to us is for the venue to say: no entry until it has
        account.reconciled = 0
        n = raise_hold(state, out, n, _UNREADABLE, NO_TIME, e.order_number, 0)
        return ask_missed_answers(state, out, n)
    priced = 0 < e.price_tick <= TICK_MAX
    if not priced:  # held is what the venue says; what it cost is not known, and no money is booked for it
        n = raise_hold(state, out, n, _UNREADABLE, NO_TIME, e.price_tick, TICK_MAX)
    account.fills += 1
    if slot >= 0:
        order = state.orders[slot]
        order.filled += e.qty
        full = order.filled >= order.qty
        if not life.advance(order, life.ON_FULL_FILL if full else life.ON_PART_FILL):
            account.stale_answers += 1
        n = order_effect(state, out, n, ORDER_STATE, slot)
        name_reason(state.positions[e.instrument], order)
    n = _book(state, params, e, priced, out, n)
    if slot >= 0 and state.orders[slot].role == ENTRY:
        _plan_bracket(state, params, e)
    elif slot >= 0 and routed(params.limits[0]):
        n = left(state, out, n, e.instrument)
    if not priced and state.positions[e.instrument].qty != 0:  # no stop can be measured from it: out
        close(state.positions[e.instrument], BY_EXCESS)
    return n


@inner
def _sensible(state: State, params: Params, e: np.record, slot: int) -> bool:
    """P-06: a fill is of a known instrument, on its order's side, and costs between nothing and what was traded."""
    if not 0 <= e.instrument < state.account[0].instruments or abs(e.side) != 1 or e.qty > QTY_MAX:
        return False
    if slot >= 0 and (state.orders[slot].side != e.side or state.orders[slot].instrument != e.instrument):
        return False
    tick_value = params.specs[e.instrument].tick_value_micros
    if tick_value <= 0 or e.fee_micros < 0:
        return False
    if not 0 < e.price_tick <= TICK_MAX:  # it is held at the mark until it is gone; without one it is not held at all
        return state.positions[e.instrument].mark_tick != NO_TICK
    return -(-e.fee_micros // tick_value) <= e.qty * e.price_tick


@inner
def _book(state: State, params: Params, e: np.record, priced: bool, out: np.ndarray, n: int) -> int:
    """Position, money, and the round trip when it ends (MES-RISK-08, flat to flat).

    A fill without a price counts at the mark, for the position alone: neither its fee nor any further result of its
    round trip is booked (MES-HOLD-STATE_UNREADABLE).
    """
    account = state.account[0]
    p = state.positions[e.instrument]
    before = p.qty
    tick = e.price_tick if priced else p.mark_tick
    fee = e.fee_micros if priced else 0
    if not priced:
        p.unpriced = 1
    qty, cost, realised, closed = ledger.fill(p.qty, p.cost_ticks, e.side, e.qty, tick)
    gross = realised * params.specs[e.instrument].tick_value_micros
    if p.unpriced == 1:
        gross = 0
    closing_fee = (fee * closed + e.qty - 1) // e.qty  # the opening share is the rest (MOEX-RISK-02)
    account.realised_micros += gross
    account.fees_micros += fee
    account.balance_micros += gross - fee
    account.peak_micros = max(account.peak_micros, account.balance_micros)
    account.day_net_micros += gross - fee
    p.qty = qty
    p.cost_ticks = cost
    if priced:  # as the venue adds them up (T-02)
        p.cash_ticks -= e.side * e.qty * e.price_tick
        p.paid_micros += fee
    p.last_tick = p.last_tick if p.last_tick != NO_TICK else tick
    p.mark_tick = p.mark_tick if p.mark_tick != NO_TICK else tick
    if closed > 0:
        p.exit_fill_ns = account.now_ns
        p.trade_gross_micros += gross
        p.trade_fee_micros += closing_fee
    if before != 0 and (qty == 0 or before * qty < 0):
        n = _trade_closed(state, params, p, e.instrument, tick, out, n)
    if qty != 0 and before * qty <= 0:
        _start_trade(state, p, qty)
        p.unpriced = 0 if priced else 1
    if closed < e.qty:
        p.trade_fee_micros += fee - closing_fee
        p.trade_entry_ticks += (e.qty - closed) * tick
        p.trade_entry_qty += e.qty - closed
    p.trade_qty = max(p.trade_qty, abs(qty))
    return n


@inner
def _start_trade(state: State, p: np.record, qty: int) -> None:
    p.opened_ns = state.account[0].now_ns
    p.trade_side = 1 if qty > 0 else -1
    p.trade_qty = abs(qty)
    p.trade_gross_micros = 0
    p.trade_fee_micros = 0
    p.trade_entry_ticks = 0
    p.trade_entry_qty = 0
    p.naked_since_ns = state.account[0].now_ns
    p.exit_since_ns = NO_TIME
    p.exit_retry_ns = NO_TIME
    p.exit_tries = 0
    p.exit_allowed = 0
    p.stop_tick = NO_TICK
    p.net_tick = NO_TICK
    p.best_twice_tick = NO_TICK
    forget_legs(p)
    p.trailed = 0


@inner
def _trade_closed(
    state: State, params: Params, p: np.record, instrument: int, tick: int, out: np.ndarray, n: int
) -> int:
    """Classify the round trip by its net result; exactly 0 is neither and changes no streak (MES-RISK-08, -09).

    Neither is a result that nobody knows, nor a hedge's: it counts as money alone (MOEX-HEDGE-05).
    """
    account = state.account[0]
    net = p.trade_gross_micros - p.trade_fee_micros
    hedge = is_hedge(params.specs[instrument], params.limits[0])
    account.trades += 1
    account.day_trades += 0 if hedge else 1
    if p.unpriced == 1 or hedge:
        pass
    elif net > 0:
        account.wins += 1
        account.day_wins += 1
        account.streak = 0
    elif net < 0:
        note_loss(account, params.limits[0])
    if p.close_reason == BY_REVERSAL:
        p.rev_exit_ns = account.now_ns
    else:
        p.rev_count = 0
        p.rev_side = 0
    blank(out, n, TRADE_CLOSED, instrument, account.now_ns)
    o = out[n]
    o.side = p.trade_side
    o.code = p.close_reason
    o.qty = p.trade_qty
    o.price_tick = tick
    o.open_tick = ledger.nearest_average(p.trade_entry_ticks, p.trade_entry_qty) if p.trade_entry_qty > 0 else NO_TICK
    o.close_tick = tick
    o.value = net
    o.fee_micros = p.trade_fee_micros
    o.until_ns = p.opened_ns
    o.ref = account.trades
    o.volume = p.trade_gross_micros
    o.role = HEDGE if hedge else 0
    p.opened_ns = NO_TIME
    return n + 1


@inner
def _plan_bracket(state: State, params: Params, e: np.record) -> None:
    """Stop and target from their anchor (MES-STOP-04): the average entry fill, or the price of the decision.

    Later fills of one entry may only tighten the stop.  A fill that nobody planned gets the fixed distances.
    """
    p = state.positions[e.instrument]
    if p.qty == 0 or p.trade_entry_qty == 0 or is_hedge(params.specs[e.instrument], params.limits[0]):
        return
    p.entry_fill_ns = state.account[0].now_ns
    limits, spec = params.limits[0], params.specs[e.instrument]
    if p.stop_ticks <= 0:
        p.stop_ticks = limits.stop_ticks
        p.target_ticks = target_ticks(limits, limits.stop_ticks)
    anchor = ledger.nearest_average(p.trade_entry_ticks, p.trade_entry_qty)
    if limits.bracket_anchor == ANCHOR_SIGNAL and p.plan_tick != NO_TICK:
        anchor = p.plan_tick
    stop = max(1, anchor - p.trade_side * p.stop_ticks)  # no venue takes a price below its first tick
    if by_formula(state.account[0], limits):
        on_entry_fill(p, spec, limits, state.account[0].now_ns)
    elif p.stop_tick == NO_TICK or (stop - p.stop_tick) * p.trade_side > 0:
        p.stop_tick = stop
    target = anchor + p.trade_side * p.target_ticks
    p.target_tick = target if p.target_ticks > 0 and target > 0 else NO_TICK
